//! `DATABASE_URL`, and what the services' own connections derive from it.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;

use super::{DatabaseError, Role, passwords};

/// The owner's URL. Shows neither user nor password when printed.
#[derive(Clone)]
pub struct DatabaseUrl {
    options: PgConnectOptions,
    password: Option<SecretString>,
    host: String,
    database: String,
}

impl DatabaseUrl {
    /// Reads a `postgres://` URL.
    ///
    /// # Errors
    /// [`DatabaseError::Url`], without the URL in its text.
    pub fn parse(url: &str) -> Result<Self, DatabaseError> {
        let invalid = |what: &str| DatabaseError::Url(what.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(invalid("must begin with postgres://"));
        }
        // The driver's parser quotes parts of the URL in its errors: say less.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| invalid("not understood by the driver (host, port, or a parameter)"))?;
        let password = match parsed.password() {
            Some(encoded) => Some(decode(encoded)?),
            None => parsed
                .query_pairs()
                .find(|(name, _)| name == "password")
                .map(|(_, value)| value.into_owned()),
        };
        Ok(Self {
            host: options.get_host().to_owned(),
            database: options
                .get_database()
                .unwrap_or(options.get_username())
                .to_owned(),
            password: password.filter(|p| !p.is_empty()).map(SecretString::from),
            options,
        })
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The same server and user, another database.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        Self {
            options: self.options.clone().database(name),
            database: name.to_owned(),
            ..self.clone()
        }
    }

    /// Connection options for `role`. A role of ours gets `password`, or else one
    /// derived from the owner's, so that a laptop needs one setting only.
    ///
    /// # Errors
    /// [`DatabaseError::NoPassword`] when there is neither.
    pub fn options_for(
        &self,
        role: Role,
        password: Option<&SecretString>,
    ) -> Result<PgConnectOptions, DatabaseError> {
        let Some(name) = role.name() else {
            return Ok(self.options.clone());
        };
        let password = self.role_password(name, password)?;
        Ok(self
            .options
            .clone()
            .username(name)
            .password(password.expose_secret()))
    }

    /// The password of a role: the given one, or the derived one.
    pub(super) fn role_password(
        &self,
        role: &'static str,
        given: Option<&SecretString>,
    ) -> Result<SecretString, DatabaseError> {
        match (given, &self.password) {
            (Some(given), _) => Ok(given.clone()),
            (None, Some(owner)) => Ok(passwords::derive(owner, role)),
            (None, None) => Err(DatabaseError::NoPassword(role)),
        }
    }
}

fn decode(encoded: &str) -> Result<String, DatabaseError> {
    percent_decode_str(encoded)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| DatabaseError::Url("the password is not UTF-8".to_owned()))
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl")
            .field("host", &self.host)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_url_tells_no_secret() {
        let url = DatabaseUrl::parse("postgres://alice:s3cr%40t@db:5433/flow").unwrap();
        let shown = format!("{url:?}");
        assert!(shown.contains("db") && shown.contains("flow"));
        assert!(!shown.contains("alice") && !shown.contains("s3cr"));
    }

    #[test]
    fn an_unreadable_url_tells_no_secret() {
        for url in [
            "postgres://a:hunter2@db:notaport/x",
            "mysql://a:hunter2@db/x",
            "hunter2",
            "postgres://a:hunter2@db/x?sslmode=hunter2",
        ] {
            let error = DatabaseUrl::parse(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn roles_get_their_own_passwords_whatever_the_encoding_of_the_urls() {
        let plain = DatabaseUrl::parse("postgres://a:p~w@h/d").unwrap();
        let encoded = DatabaseUrl::parse("postgres://a:p%7Ew@h/d").unwrap();
        let password = |url: &DatabaseUrl, role| {
            let password = url.role_password(role, None).unwrap();
            password.expose_secret().to_owned()
        };
        assert_eq!(
            password(&plain, "flowmeter_api"),
            password(&encoded, "flowmeter_api")
        );
        assert_ne!(
            password(&plain, "flowmeter_api"),
            password(&plain, "flowmeter_sink")
        );
    }

    #[test]
    fn without_any_password_a_role_must_be_given_one() {
        let url = DatabaseUrl::parse("postgres://a@h/d").unwrap();
        assert!(matches!(
            url.options_for(Role::Api, None),
            Err(DatabaseError::NoPassword(_))
        ));
        assert!(
            url.options_for(Role::Api, Some(&"x".to_owned().into()))
                .is_ok()
        );
        assert!(url.options_for(Role::Owner, None).is_ok());
    }
}
