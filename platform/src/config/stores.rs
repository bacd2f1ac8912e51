//! The sections for Kafka and the database.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Env;

/// How Kafka and its schema registry are reached.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `KAFKA_BROKERS`, required: `host:port`, separated by commas.
    pub brokers: String,
    /// `KAFKA_TOPIC_PREFIX`, default none: put before every topic's name.
    pub topic_prefix: String,
    /// `SCHEMA_REGISTRY_URL`, required. It may hold a password, hence secret.
    pub registry_url: SecretString,
    /// `KAFKA_GROUP_PREFIX`, default `flowmeter`: put before consumer groups.
    pub group_prefix: String,
    /// `KAFKA_PROPERTIES`: more settings for the client library.
    pub properties: KafkaProperties,
    /// `KAFKA_PARTITIONS`, default 4: of the topics we create.
    pub partitions: i32,
    /// `KAFKA_REPLICATION_FACTOR` of the topics we create; -1, the default,
    /// leaves it to the broker.
    pub replication: i32,
}

impl KafkaConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let brokers = env.required("KAFKA_BROKERS");
        if !brokers.is_empty() && !brokers.split(',').all(|broker| is_broker(broker.trim())) {
            env.parsed("KAFKA_BROKERS", "", |_| {
                Err::<(), _>("must be host:port, separated by commas")
            });
        }
        let registry_url = env.required("SCHEMA_REGISTRY_URL");
        if !registry_url.is_empty() {
            env.parsed("SCHEMA_REGISTRY_URL", "", |value| {
                url_of(value, &["http", "https"])
            });
        }
        let topic_prefix = env.parsed("KAFKA_TOPIC_PREFIX", "", topic_name_part);
        let group_prefix = env.parsed("KAFKA_GROUP_PREFIX", "flowmeter", topic_name_part);
        let properties = env.parsed("KAFKA_PROPERTIES", "", KafkaProperties::parse);
        let replication = env.number("KAFKA_REPLICATION_FACTOR", -1, -1..=32_767);
        if replication == 0 {
            env.fault(
                "KAFKA_REPLICATION_FACTOR",
                "must be at least 1, or -1 for the broker's default (got \"0\")",
            );
        }
        Self {
            brokers,
            topic_prefix: topic_prefix.unwrap_or_default(),
            registry_url: registry_url.into(),
            group_prefix: group_prefix.unwrap_or_default(),
            properties: properties.unwrap_or_default(),
            partitions: env.number("KAFKA_PARTITIONS", 4, 1..=10_000),
            replication,
        }
    }
}

/// Settings handed to the Kafka client as they are. `Debug` shows keys alone.
#[derive(Clone, Default)]
pub struct KafkaProperties(Vec<(String, SecretString)>);

impl KafkaProperties {
    /// Parses `key=value` pairs, one a line or separated by commas.
    ///
    /// When the text has a line break, lines alone separate, so that a value
    /// may hold a comma.
    fn parse(text: &str) -> Result<Self, String> {
        let separator = if text.contains('\n') { '\n' } else { ',' };
        let mut pairs = Vec::new();
        for (index, pair) in text.split(separator).map(str::trim).enumerate() {
            if pair.is_empty() {
                continue;
            }
            match pair.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    pairs.push((key.trim().to_owned(), SecretString::from(value.trim())));
                }
                // The pair itself may be a password cut at a comma: unsaid.
                _ => {
                    return Err(format!(
                        "must be key=value pairs; pair {} is none",
                        index + 1
                    ));
                }
            }
        }
        Ok(Self(pairs))
    }

    /// The settings in their order, in the clear.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.expose_secret()))
    }
}

impl fmt::Debug for KafkaProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(key, _)| (key, "***")))
            .finish()
    }
}

/// How the database is reached. `Debug` hides the URL and the passwords.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`, or made of `DB_HOST`, `DB_PORT` (5432), `DB_NAME`,
    /// `DB_USER` (both `flowmeter`) and `DB_PASSWORD`.
    pub url: SecretString,
    /// `DB_POOL_SIZE`, default 10: the most connections of a pool.
    pub pool_size: u32,
    /// `DB_SINK_PASSWORD`: of the sink's role, when it is not the URL's.
    pub sink_password: Option<SecretString>,
    /// `DB_JOBS_PASSWORD`: of the jobs' role, when it is not the URL's.
    pub jobs_password: Option<SecretString>,
    /// `DB_API_PASSWORD`: of the query API's role, when it is not the URL's.
    pub api_password: Option<SecretString>,
}

impl DatabaseConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let url = if env.optional("DATABASE_URL").is_some() {
            env.parsed("DATABASE_URL", "", |value| {
                url_of(value, &["postgres", "postgresql"])
            })
            .map(String::from)
        } else {
            composed_url(env)
        };
        Self {
            url: url.unwrap_or_default().into(),
            pool_size: env.number("DB_POOL_SIZE", 10, 1..=1000),
            sink_password: env.secret("DB_SINK_PASSWORD"),
            jobs_password: env.secret("DB_JOBS_PASSWORD"),
            api_password: env.secret("DB_API_PASSWORD"),
        }
    }
}

fn composed_url(env: &mut Env) -> Option<String> {
    let port = env.number("DB_PORT", 5432, 1..=u16::MAX);
    let name = env.text("DB_NAME", "flowmeter");
    let user = env.text("DB_USER", "flowmeter");
    let password = env.secret("DB_PASSWORD");
    if env.optional("DB_HOST").is_none() {
        env.fault("DATABASE_URL", "is required, or else DB_HOST");
        return None;
    }
    env.parsed("DB_HOST", "", |host| {
        let password = password.as_ref().map(ExposeSecret::expose_secret);
        compose(host, port, &name, &user, password)
            .ok_or("must be a host name, an address, or a socket's folder")
    })
}

/// A PostgreSQL URL in which every part is percent-encoded as it must be.
fn compose(
    host: &str,
    port: u16,
    name: &str,
    user: &str,
    password: Option<&str>,
) -> Option<String> {
    let mut url = Url::parse("postgres://localhost/").ok()?;
    if host.starts_with('/') {
        url.query_pairs_mut().append_pair("host", host);
    } else if host.contains(':') && !host.starts_with('[') {
        url.set_host(Some(&format!("[{host}]"))).ok()?;
    } else {
        url.set_host(Some(host)).ok()?;
    }
    url.set_port(Some(port)).ok()?;
    // The setters take a percent sign for one that already encodes something.
    let literal = |text: &str| text.replace('%', "%25");
    url.set_username(&literal(user)).ok()?;
    url.set_password(password.map(literal).as_deref()).ok()?;
    url.path_segments_mut().ok()?.clear().push(name);
    Some(url.into())
}

fn url_of(value: &str, schemes: &[&str]) -> Result<Url, String> {
    let wanted = || {
        format!(
            "must be a URL that begins with {}://",
            schemes.join(":// or ")
        )
    };
    let url = Url::parse(value).map_err(|_| wanted())?;
    if !schemes.contains(&url.scheme()) {
        return Err(wanted());
    }
    Ok(url)
}

fn is_broker(broker: &str) -> bool {
    let (host, port) = match broker.rsplit_once(':') {
        // An IPv6 address in brackets without a port ends in one.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (broker, None),
    };
    !host.is_empty()
        && !host.contains(char::is_whitespace)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn topic_name_part(value: &str) -> Result<String, &'static str> {
    // Kafka's own limit is 249 bytes for the whole name.
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if value.len() <= 100 && value.bytes().all(sound) {
        Ok(value.to_owned())
    } else {
        Err("must be at most 100 letters, digits, dots, dashes or underscores")
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[test]
    fn kafka_needs_brokers_and_a_registry() {
        let mut env = Env::from_pairs([
            ("KAFKA_TOPIC_PREFIX", "a/b"),
            ("KAFKA_REPLICATION_FACTOR", "0"),
        ]);
        KafkaConfig::from_env(&mut env);
        let faults = env.finish().unwrap_err();
        let names: Vec<_> = faults
            .faults()
            .iter()
            .map(|fault| fault.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "KAFKA_BROKERS",
                "SCHEMA_REGISTRY_URL",
                "KAFKA_TOPIC_PREFIX",
                "KAFKA_REPLICATION_FACTOR"
            ]
        );
    }

    #[test]
    fn kafka_settings_are_read_and_their_values_hidden() {
        let mut env = Env::from_pairs([
            ("KAFKA_BROKERS", "one:9092, [::1]:9092,two"),
            ("SCHEMA_REGISTRY_URL", "http://u:hush@registry:8081"),
            (
                "KAFKA_PROPERTIES",
                "security.protocol=SASL_SSL, sasl.password=hush=er",
            ),
        ]);
        let kafka = KafkaConfig::from_env(&mut env);
        env.finish().unwrap();
        assert_eq!((kafka.partitions, kafka.replication), (4, -1));
        let pairs: Vec<_> = kafka.properties.iter().collect();
        assert_eq!(
            pairs,
            [
                ("security.protocol", "SASL_SSL"),
                ("sasl.password", "hush=er")
            ]
        );
        assert!(!format!("{kafka:?}").contains("hush"));
    }

    #[test]
    fn a_comma_may_be_in_a_property_that_has_its_own_line() {
        let parsed = KafkaProperties::parse("a=1,2\n\nb=3\n").unwrap();
        assert_eq!(
            parsed.iter().collect::<Vec<_>>(),
            [("a", "1,2"), ("b", "3")]
        );
        assert!(KafkaProperties::parse("a=1,2").is_err());
    }

    #[test]
    fn broken_addresses_are_faults_without_their_secrets() {
        let mut env = Env::from_pairs([
            ("KAFKA_BROKERS", "one:x"),
            ("SCHEMA_REGISTRY_URL", "ftp://u:hush@registry"),
            ("KAFKA_PROPERTIES", "hush"),
            ("DATABASE_URL", "mysql://u:hush@h/d"),
        ]);
        KafkaConfig::from_env(&mut env);
        DatabaseConfig::from_env(&mut env);
        let faults = env.finish().unwrap_err();
        assert_eq!(faults.faults().len(), 4, "{faults}");
        assert!(!faults.to_string().contains("hush"), "{faults}");
    }

    #[test]
    fn a_database_needs_a_url_or_a_host() {
        let mut env = Env::from_pairs([("DB_USER", "u")]);
        DatabaseConfig::from_env(&mut env);
        assert_eq!(
            env.finish().unwrap_err().to_string(),
            "DATABASE_URL: is required, or else DB_HOST"
        );
    }

    #[test]
    fn a_composed_url_reaches_the_driver_as_it_was_meant() {
        for host in ["db.example", "::1", "10.0.0.1", "/run/postgresql"] {
            let mut env = Env::from_pairs([
                ("DB_HOST", host),
                ("DB_PORT", "6543"),
                ("DB_NAME", "a b/c%d"),
                ("DB_USER", "us@er:x"),
                ("DB_PASSWORD", "p@ss:/?#[]%20 ö"),
            ]);
            let database = DatabaseConfig::from_env(&mut env);
            env.finish().unwrap();
            let url = database.url.expose_secret();
            let options = PgConnectOptions::from_str(url).unwrap();
            assert_eq!(options.get_username(), "us@er:x", "{url}");
            assert_eq!(options.get_database(), Some("a b/c%d"), "{url}");
            assert_eq!(options.get_port(), 6543);
            let password = Url::parse(url).unwrap().password().unwrap().to_owned();
            assert_eq!(password, "p%40ss%3A%2F%3F%23%5B%5D%2520%20%C3%B6", "{url}");
            match options.get_socket() {
                Some(socket) => assert_eq!(socket.to_str(), Some(host)),
                None => assert_eq!(options.get_host().trim_matches(['[', ']']), host),
            }
            assert!(!format!("{database:?}").contains("er:x"), "{database:?}");
        }
    }
}
