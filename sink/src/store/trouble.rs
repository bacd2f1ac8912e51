//! What a refusal of the database means: is it the row's fault, or the database's?

use sqlx::Error;

/// What keeps the database from being written. It passes, by itself or when somebody has seen
/// to it; until then the same is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It does not answer, is starting or ending, or broke the connection.
    Away,
    /// Another transaction was in the way.
    Contended,
    TooManyConnections,
    DiskFull,
    ReadOnly,
    /// The password or a right is wrong.
    Denied,
    /// Tables or columns are not as this version knows them.
    Schema,
    /// Anything else.
    Failing,
    /// Kafka does not take the dead letters of rows that it refuses.
    Letters,
    /// It refuses too large a share of the rows for each of them to be at fault.
    TooManyRefused,
}

impl Trouble {
    /// By the classes of PostgreSQL's error codes, see its manual's appendix A.
    pub(crate) fn of(error: &Error) -> Self {
        let Some(code) = code(error) else {
            return match error {
                Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::Protocol(_) => {
                    Self::Away
                }
                _ => Self::Failing,
            };
        };
        Self::of_code(&code)
    }

    fn of_code(code: &str) -> Self {
        match (code, code.get(..2).unwrap_or_default()) {
            ("53300", _) => Self::TooManyConnections,
            ("53100", _) => Self::DiskFull,
            ("25006", _) => Self::ReadOnly,
            // Locks and time limits of others' transactions.
            ("55P03" | "25P03" | "57014", _) | (_, "40") => Self::Contended,
            ("42501", _) | (_, "28") => Self::Denied,
            (_, "42" | "3D" | "3F" | "0A") => Self::Schema,
            (_, "08" | "57") => Self::Away,
            _ => Self::Failing,
        }
    }

    /// For the health report and the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Away => "the database is away",
            Self::Contended => "another transaction is in the way in the database",
            Self::TooManyConnections => "the database has too many connections",
            Self::DiskFull => "the database's disk is full",
            Self::ReadOnly => "the database is read-only",
            Self::Denied => "the database denies the sink's role its rights or its password",
            Self::Schema => "the database's tables are not as expected: run flowmeter migrate",
            Self::Failing => "the database cannot be written",
            Self::Letters => "Kafka does not take the dead letters of rows the database refuses",
            Self::TooManyRefused => "the database refuses too large a share of the rows",
        }
    }
}

/// Whether the database refuses a row for what it says, so that it would refuse it always, and
/// others not: data (22), constraints (23), limits of a value (54), and a trigger's own (P0001).
pub(crate) fn is_of_row(error: &Error) -> bool {
    code(error).is_some_and(|code| is_code_of_row(&code))
}

fn is_code_of_row(code: &str) -> bool {
    code == "P0001" || ["22", "23", "54"].contains(&code.get(..2).unwrap_or_default())
}

/// Why a row was refused, without what it says.
pub(crate) fn refusal(error: &Error) -> String {
    let mut text = "the database refuses it".to_owned();
    if let Error::Database(error) = error {
        if let Some(code) = error.code() {
            text.push_str(&format!(", SQLSTATE {code}"));
        }
        if let Some(constraint) = error.constraint() {
            text.push_str(&format!(", constraint {constraint}"));
        }
    }
    text
}

fn code(error: &Error) -> Option<String> {
    let Error::Database(error) = error else {
        return None;
    };
    error.code().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_follows_from_the_code() {
        for (code, trouble) in [
            ("53100", Trouble::DiskFull),
            ("53300", Trouble::TooManyConnections),
            ("53200", Trouble::Failing),
            ("25006", Trouble::ReadOnly),
            ("25P03", Trouble::Contended),
            ("40P01", Trouble::Contended),
            ("57014", Trouble::Contended),
            ("57P01", Trouble::Away),
            ("08006", Trouble::Away),
            ("28P01", Trouble::Denied),
            ("42501", Trouble::Denied),
            ("42P01", Trouble::Schema),
            ("3D000", Trouble::Schema),
            ("XX000", Trouble::Failing),
            ("", Trouble::Failing),
        ] {
            assert_eq!(Trouble::of_code(code), trouble, "{code}");
            assert!(!is_code_of_row(code), "{code}");
        }
        for code in ["22003", "22P05", "23502", "23514", "54000", "P0001"] {
            assert!(is_code_of_row(code), "{code}");
        }
        assert_eq!(Trouble::of(&Error::PoolTimedOut), Trouble::Away);
        assert!(!is_of_row(&Error::PoolTimedOut));
        assert_eq!(Trouble::of(&Error::RowNotFound), Trouble::Failing);
    }
}
