//! Dead letters that hold a user's events.

use sqlx::{PgConnection, PgPool};

use super::Erase;
use crate::store::StoreError;

/// The user's by their key, or with the user in them, as text, which is how Avro has it: a
/// record whose key is wrong is a dead letter for that. Where not even the organization could
/// be read, it must be in there, too: user ids are an organization's own.
macro_rules! letters {
    ($what:literal) => {
        concat!(
            $what,
            " from flowmeter.dead_letters where \
             (organization_id = $1 or organization_id is null and ( \
                position(convert_to($1::text, 'UTF8') in coalesce(\"key\", '')) > 0 \
                or position(convert_to($1::text, 'UTF8') in coalesce(\"value\", '')) > 0)) \
             and (position(convert_to($2::text, 'UTF8') in coalesce(\"key\", '')) > 0 \
                or position(convert_to($2::text, 'UTF8') in coalesce(\"value\", '')) > 0 \
                or position($2::text in message) > 0)"
        )
    };
}

pub(super) async fn count(pool: &PgPool, erase: &Erase) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(letters!("select count(*)"))
        .bind(erase.organization_id)
        .bind(erase.user_id)
        .fetch_one(pool)
        .await?;
    Ok(count.unsigned_abs())
}

pub(super) async fn delete(
    connection: &mut PgConnection,
    erase: &Erase,
) -> Result<u64, StoreError> {
    let done = sqlx::query(letters!("delete"))
        .bind(erase.organization_id)
        .bind(erase.user_id)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
