//! An event for tests, to be changed where it matters.

use schemas::Timestamp;
use schemas::event::{CommandExecution, Status};
use uuid::Uuid;

pub(crate) fn command() -> CommandExecution {
    CommandExecution {
        event_id: Uuid::nil(),
        organization_id: Uuid::nil(),
        timestamp: Timestamp::from_millis(0).unwrap(),
        user_id: Uuid::nil(),
        team_id: None,
        project_id: None,
        command_name: "build".into(),
        execution_time_ms: 0,
        status: Status::Success,
        command_args: None,
        error_message: None,
        context: None,
    }
}
