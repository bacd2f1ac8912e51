//! Versions of organizations' rows: raised by whoever changes rows, and told to whoever listens.
//!
//! A version is raised in the transaction that changes the rows, and whoever raises it locks it
//! until that ends. So a version that a snapshot shows says which rows the snapshot shows, and
//! later versions are greater.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

/// Where versions are told when they are committed.
pub const CHANNEL: &str = "flowmeter_changes";

/// The organization whose version is that of the watermarks: the installation.
pub const INSTALLATION: Uuid = Uuid::nil();

/// An organization whose version was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Raised {
    /// Which.
    pub organization_id: Uuid,
    /// The version of whoever changed its rows last; `None` if nobody ever did.
    pub before: Option<i64>,
    /// Its version once this transaction is committed.
    pub after: i64,
}

/// Raises the versions of organizations; as the last step of the transaction that changes rows
/// of theirs, since their versions stay locked until it ends.
///
/// # Errors
/// The database's.
pub async fn raise(
    connection: &mut PgConnection,
    organizations: impl IntoIterator<Item = Uuid>,
) -> sqlx::Result<Vec<Raised>> {
    let mut organizations: Vec<Uuid> = organizations.into_iter().collect();
    organizations.sort_unstable();
    organizations.dedup();
    if organizations.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as("select * from flowmeter.raise_versions_from($1)")
        .bind(organizations)
        .fetch_all(connection)
        .await
}

/// The organizations and versions of a message on [`CHANNEL`]; `None` when it is none of ours.
#[must_use]
pub fn parse(payload: &str) -> Option<Vec<(Uuid, i64)>> {
    let change = |text: &str| {
        let (organization, version) = text.split_once(' ')?;
        Some((organization.parse().ok()?, version.parse().ok()?))
    };
    payload.split(',').map(change).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::postgres::PgListener;

    use super::*;
    use crate::{
        database::{Role, TenantDb},
        test_support::TestDatabase,
    };

    #[test]
    fn what_is_no_message_of_ours_is_none() {
        let id = Uuid::from_u128(7);
        assert_eq!(parse(&format!("{id} 5")), Some(vec![(id, 5)]));
        for other in ["", "x", "x 5", &format!("{id}"), &format!("{id} 5,")] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn versions_rise_and_are_told_when_they_are_committed() {
        let database = TestDatabase::create().await;
        let sink = database.pool(Role::Sink).await;
        let api = database.pool(Role::Api).await;
        let mut listener = PgListener::connect_with(&api).await.unwrap();
        listener.listen(CHANNEL).await.unwrap();

        // More than one message holds.
        let many: Vec<Uuid> = (1..=250).map(Uuid::from_u128).collect();
        let mut last = std::collections::BTreeMap::new();
        let mut raised_to = std::collections::BTreeMap::new();
        for _ in 0..2 {
            let mut transaction = sink.begin().await.unwrap();
            let raised = raise(&mut transaction, many.iter().copied()).await.unwrap();
            transaction.commit().await.unwrap();
            for Raised {
                organization_id,
                before,
                after,
            } in raised
            {
                assert_eq!(before, last.get(&organization_id).copied());
                raised_to.insert(organization_id, after);
            }
            let mut told = std::collections::BTreeMap::new();
            while told.len() < many.len() {
                let next = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await;
                let message = next.expect("a message comes").unwrap();
                told.extend(parse(message.payload()).unwrap());
            }
            assert!(told.keys().eq(&many));
            assert_eq!(told, raised_to);
            assert!(last.iter().all(|(id, version)| told[id] > *version));
            last = told;
        }
        let tenants = TenantDb::new(api.clone());
        let mut transaction = tenants.begin(many[0]).await.unwrap();
        let seen: Vec<(Uuid, i64, i64)> =
            sqlx::query_as("select * from tenant.organization_version")
                .fetch_all(transaction.connection())
                .await
                .unwrap();
        assert_eq!(seen, [(many[0], last[&many[0]], 0)]);
    }
}
