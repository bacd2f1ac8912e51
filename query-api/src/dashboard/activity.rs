//! What each user and each team did, and when: sums that the database makes, since there are
//! many rows of users and no quantile is asked of them.

use std::{cmp::Reverse, collections::BTreeMap};

use futures_util::TryStreamExt;
use platform::database::TenantTx;
use schemas::Usd;
use serde::Serialize;
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{failure::QueryFailure, rollups::Source};

/// Who was active, and what they did.
#[derive(Debug, Default)]
pub(super) struct Activity {
    users: BTreeMap<Option<Uuid>, Tally>,
    teams: BTreeMap<Option<Uuid>, Tally>,
}

/// How many users and teams had any event, of whatever kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Active {
    pub(super) users: u64,
    pub(super) teams: u64,
}

/// Commands and interactions added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    commands: u64,
    command_errors: u64,
    agents: u64,
    agent_errors: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost: Usd,
}

/// Sums of a user in a team, as the database has them.
#[derive(Debug, FromRow)]
struct Sums {
    user_id: Option<Uuid>,
    team_id: Option<Uuid>,
    commands: i64,
    command_errors: i64,
    agents: i64,
    agent_errors: i64,
    /// Wide numbers are text, as in `rollup_columns`.
    input_tokens: String,
    output_tokens: String,
    cost_usd: String,
}

/// One scan for both: users are in a team or two, and rows of users are read once rather than
/// those of teams as well.
const SUMS: &str = "select user_id, team_id, \
    sum(command_count)::bigint as commands, sum(command_error_count)::bigint as command_errors, \
    sum(agent_count)::bigint as agents, sum(agent_error_count)::bigint as agent_errors, \
    sum(input_tokens)::text as input_tokens, sum(output_tokens)::text as output_tokens, \
    sum(cost_usd)::text as cost_usd from (";

/// What `SUMS` adds up, of days of users.
const OF_DAYS: &str = "user_id, team_id, command_count, command_error_count, agent_count, \
    agent_error_count, input_tokens, output_tokens, cost_usd";

/// The same of rollups.
const OF_ROLLUPS: &str = "user_id, team_id, \
    case kind when 'command' then event_count else 0 end as command_count, \
    case kind when 'command' then error_count else 0 end as command_error_count, \
    case kind when 'agent' then event_count else 0 end as agent_count, \
    case kind when 'agent' then error_count else 0 end as agent_error_count, \
    case kind when 'agent' then input_tokens else 0 end as input_tokens, \
    case kind when 'agent' then output_tokens else 0 end as output_tokens, \
    case kind when 'agent' then cost_usd else 0 end as cost_usd";

impl Activity {
    /// Of rollups of scope user.
    pub(super) async fn read(
        transaction: &mut TenantTx,
        source: Source<'_>,
    ) -> Result<Self, QueryFailure> {
        let mut sql: QueryBuilder<Postgres> = QueryBuilder::new(SUMS);
        source.push_by_user(&mut sql, OF_DAYS, OF_ROLLUPS);
        sql.push(") rollups group by user_id, team_id");
        let query = sql.build_query_as::<Sums>();
        let mut rows = query.fetch(transaction.connection());
        let mut activity = Self::default();
        while let Some(sums) = rows.try_next().await? {
            let tally = sums.tally()?;
            activity.users.entry(sums.user_id).or_default().add(tally);
            activity.teams.entry(sums.team_id).or_default().add(tally);
        }
        Ok(activity)
    }

    /// How many there are.
    pub(super) fn active(&self) -> Active {
        let known = |all: &BTreeMap<Option<Uuid>, Tally>| all.keys().flatten().count() as u64;
        Active {
            users: known(&self.users),
            teams: known(&self.teams),
        }
    }

    /// The most active users, at most so many.
    pub(super) fn users(&self, most: usize) -> Vec<UserActivity> {
        let user = |(user_id, tally): (Option<Uuid>, Tally)| UserActivity {
            user_id,
            commands: CommandTally::of(tally),
            agents: AgentTally::of(tally),
        };
        ranked(&self.users, most).into_iter().map(user).collect()
    }

    /// The most active teams, at most so many.
    pub(super) fn teams(&self, most: usize) -> Vec<TeamActivity> {
        let team = |(team_id, tally): (Option<Uuid>, Tally)| TeamActivity {
            team_id,
            commands: CommandTally::of(tally),
            agents: AgentTally::of(tally),
        };
        ranked(&self.teams, most).into_iter().map(team).collect()
    }
}

/// By commands and interactions; of equal ones by id, and those without one last.
fn ranked(all: &BTreeMap<Option<Uuid>, Tally>, most: usize) -> Vec<(Option<Uuid>, Tally)> {
    let mut all: Vec<_> = all.iter().map(|(id, tally)| (*id, *tally)).collect();
    let executions = |tally: &Tally| tally.commands.saturating_add(tally.agents);
    all.sort_by_key(|(id, tally)| (Reverse(executions(tally)), id.is_none(), *id));
    all.truncate(most);
    all
}

impl Sums {
    fn tally(&self) -> Result<Tally, QueryFailure> {
        let count = |n: i64| u64::try_from(n).map_err(|_| QueryFailure::Malformed("event_count"));
        let tokens = |text: &str| text.parse().map_err(|_| QueryFailure::Malformed("tokens"));
        let cost = self.cost_usd.parse();
        Ok(Tally {
            commands: count(self.commands)?,
            command_errors: count(self.command_errors)?,
            agents: count(self.agents)?,
            agent_errors: count(self.agent_errors)?,
            input_tokens: tokens(&self.input_tokens)?,
            output_tokens: tokens(&self.output_tokens)?,
            cost: cost.map_err(|_| QueryFailure::Malformed("cost_usd"))?,
        })
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.commands, other.commands),
            (&mut self.command_errors, other.command_errors),
            (&mut self.agents, other.agents),
            (&mut self.agent_errors, other.agent_errors),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        self.cost = self.cost.saturating_add(other.cost);
    }
}

/// How many users and teams there are in rollups of scope user.
pub(super) async fn active(
    transaction: &mut TenantTx,
    source: Source<'_>,
) -> Result<Active, QueryFailure> {
    // Grouped first: `count(distinct …)` of every row would sort them all.
    let mut sql: QueryBuilder<Postgres> = QueryBuilder::new(
        "select count(distinct user_id), count(distinct team_id) from (select user_id, team_id from (",
    );
    let columns = "user_id, team_id";
    source.push_by_user(&mut sql, columns, columns);
    sql.push(") rollups group by user_id, team_id) groups");
    let query = sql.build_query_as::<(i64, i64)>();
    let (users, teams) = query.fetch_one(transaction.connection()).await?;
    let count = |n: i64| u64::try_from(n).map_err(|_| QueryFailure::Malformed("count"));
    Ok(Active {
        users: count(users)?,
        teams: count(teams)?,
    })
}

/// What a user did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserActivity {
    /// Null for the events without a user.
    #[schema(required = true)]
    user_id: Option<Uuid>,
    commands: CommandTally,
    agents: AgentTally,
}

/// What a team did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamActivity {
    /// Null for the events without a team.
    #[schema(required = true)]
    team_id: Option<Uuid>,
    commands: CommandTally,
    agents: AgentTally,
}

/// Commands of a user or a team.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommandTally {
    count: u64,
    error: u64,
    /// `error / count`; null when there were none.
    #[schema(required = true)]
    error_rate: Option<f64>,
}

/// Interactions with agents of a user or a team, and what they used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentTally {
    count: u64,
    error: u64,
    /// `error / count`; null when there were none.
    #[schema(required = true)]
    error_rate: Option<f64>,
    /// Tokens given to agents.
    input_tokens: u64,
    /// Tokens that agents answered.
    output_tokens: u64,
    /// US dollars, exactly, hence as text.
    #[schema(example = "0.0125")]
    cost_usd: String,
}

impl CommandTally {
    fn of(tally: Tally) -> Self {
        Self {
            count: tally.commands,
            error: tally.command_errors,
            error_rate: rate(tally.command_errors, tally.commands),
        }
    }
}

impl AgentTally {
    fn of(tally: Tally) -> Self {
        Self {
            count: tally.agents,
            error: tally.agent_errors,
            error_rate: rate(tally.agent_errors, tally.agents),
            input_tokens: tally.input_tokens,
            output_tokens: tally.output_tokens,
            cost_usd: tally.cost.to_string(),
        }
    }
}

fn rate(errors: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| errors as f64 / count as f64)
}
