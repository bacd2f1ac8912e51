//! `flowmeter token`: a token for a person or a script.

use std::time::Duration;

use clap::{Args, ValueEnum};
use platform::auth::{Identity, Role, issue};
use platform::config::{Env, JwtConfig};
use uuid::Uuid;

/// Arguments of `flowmeter token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Organization, a UUID
    #[arg(long)]
    organization: Uuid,
    /// User, a UUID; a new one if not given
    #[arg(long)]
    user: Option<Uuid>,
    /// What the bearer may do
    #[arg(long, value_enum, default_value_t = RoleArg::Developer)]
    role: RoleArg,
    /// A team of the user's; may be repeated
    #[arg(long = "team")]
    teams: Vec<Uuid>,
    /// How long it is valid
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    hours: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleArg {
    Admin,
    Manager,
    Developer,
    Viewer,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::Manager => Self::Manager,
            RoleArg::Developer => Self::Developer,
            RoleArg::Viewer => Self::Viewer,
        }
    }
}

/// Prints the token, and nothing else, so that `$(flowmeter token …)` works.
#[allow(clippy::print_stdout, reason = "the token is the output")]
pub(crate) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let mut env = Env::from_process();
    let jwt = JwtConfig::from_env(&mut env);
    env.finish()?;
    let identity = Identity {
        user_id: args.user.unwrap_or_else(Uuid::new_v4),
        organization_id: args.organization,
        role: args.role.into(),
        team_ids: (!args.teams.is_empty()).then(|| args.teams.clone()),
    };
    let lifetime = Duration::from_secs(args.hours * 3600);
    println!("{}", issue(&jwt, &identity, lifetime)?);
    Ok(())
}

/// A token of an administrator of `organization` for a day.
///
/// # Errors
/// When it cannot be signed.
pub fn admin_token(jwt: &JwtConfig, organization: Uuid, user: Uuid) -> anyhow::Result<String> {
    let identity = Identity {
        user_id: user,
        organization_id: organization,
        role: Role::Admin,
        team_ids: None,
    };
    issue(jwt, &identity, Duration::from_secs(86_400))
}
