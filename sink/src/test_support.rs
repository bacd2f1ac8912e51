//! What tests of other crates need.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::rollups;

/// Keeps everybody else, the sink among them, from changing an organization's rollups until the
/// transaction ends.
///
/// # Errors
///
/// When the database does not answer, or somebody else keeps the lock for too long.
pub async fn lock_rollups(
    connection: &mut PgConnection,
    organization_id: Uuid,
) -> sqlx::Result<()> {
    rollups::lock(connection, [organization_id].into_iter()).await
}
