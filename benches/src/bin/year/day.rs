//! The events of a day.

use anyhow::Context;
use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta, Weekday};
use rand::{RngExt, distr::Distribution, rngs::StdRng};
use schemas::{
    Event, Timestamp,
    event::{
        AgentInteraction, CommandExecution, ProductivityMetric, SessionKind, Status, UserSession,
    },
};

use super::organization::{AGENTS, COMMANDS, Organization, User, uuid};

/// People start between seven and eleven, and stay for eight hours.
const FIRST_HOUR: f64 = 7.0;
/// Of who works on a workday.
const ABSENT: f64 = 0.12;
const AT_WEEKENDS: f64 = 0.05;
const MODELS: [&str; 3] = ["large", "medium", "small"];

/// Everything that happened on a day, in no order.
pub(crate) fn events(
    random: &mut StdRng,
    organization: &Organization,
    date: NaiveDate,
) -> anyhow::Result<Vec<Event>> {
    let weekend = matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
    let present = if weekend { AT_WEEKENDS } else { 1.0 - ABSENT };
    let mut events = Vec::new();
    for user in &organization.users {
        if !random.random_bool(present) {
            continue;
        }
        let start = FIRST_HOUR + random.random_range(0.0..4.0);
        let count = (user.diligence * random.random_range(0.5..1.5)) as usize;
        for _ in 0..count {
            let at = instant(date, start + random.random_range(0.0..8.0))?;
            events.push(match random.random_range(0..100) {
                0..65 => command(random, organization, user, at),
                65..90 => agent(random, organization, user, at),
                _ => metric(random, organization, user, at),
            });
        }
        events.extend(session(random, organization, user, date, start)?);
    }
    Ok(events)
}

fn instant(date: NaiveDate, hours: f64) -> anyhow::Result<Timestamp> {
    let at = date.and_time(NaiveTime::MIN) + TimeDelta::milliseconds((hours * 3_600_000.0) as i64);
    Timestamp::try_from(at.and_utc()).context("a date that no event can have")
}

fn status(random: &mut StdRng) -> Status {
    match random.random_range(0..100) {
        0..92 => Status::Success,
        92..97 => Status::Error,
        97..99 => Status::Timeout,
        _ => Status::Cancelled,
    }
}

/// Most are short; some are not.
fn milliseconds(random: &mut StdRng, typical: f64) -> i64 {
    let spread: f64 = random.random_range(-2.0..3.0);
    (typical * spread.exp()) as i64
}

fn command(random: &mut StdRng, organization: &Organization, user: &User, at: Timestamp) -> Event {
    Event::CommandExecution(CommandExecution {
        event_id: uuid(random),
        organization_id: organization.id,
        timestamp: at,
        user_id: user.id,
        team_id: user.team,
        project_id: user.project,
        command_name: COMMANDS[organization.commands.sample(random)].to_owned(),
        execution_time_ms: milliseconds(random, 400.0),
        status: status(random),
        command_args: None,
        error_message: None,
        context: None,
    })
}

fn agent(random: &mut StdRng, organization: &Organization, user: &User, at: Timestamp) -> Event {
    let (input, output) = (
        random.random_range(100..50_000),
        random.random_range(10..5_000),
    );
    let micros = input * 3 + output * 15;
    Event::AgentInteraction(AgentInteraction {
        event_id: uuid(random),
        organization_id: organization.id,
        timestamp: at,
        user_id: user.id,
        team_id: user.team,
        project_id: user.project,
        agent_name: AGENTS[organization.agents.sample(random)].to_owned(),
        interaction_type: "chat".to_owned(),
        execution_time_ms: milliseconds(random, 4_000.0),
        status: status(random),
        input_tokens: Some(input),
        output_tokens: Some(output),
        cost_usd: format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
            .parse()
            .ok(),
        model: Some(MODELS[random.random_range(0..MODELS.len())].to_owned()),
        command_execution_id: None,
        error_message: None,
        metadata: None,
    })
}

fn metric(random: &mut StdRng, organization: &Organization, user: &User, at: Timestamp) -> Event {
    let metric_type =
        ["productivity_score", "commands_per_hour"][usize::from(random.random_bool(0.3))];
    Event::ProductivityMetric(ProductivityMetric {
        event_id: uuid(random),
        organization_id: organization.id,
        timestamp: at,
        user_id: Some(user.id),
        team_id: user.team,
        project_id: user.project,
        metric_type: metric_type.to_owned(),
        metric_value: f64::from(random.random_range(0..1000_u32)) / 10.0,
        metric_unit: None,
        dimensions: None,
    })
}

/// A session of the day: its start and its end.
fn session(
    random: &mut StdRng,
    organization: &Organization,
    user: &User,
    date: NaiveDate,
    start: f64,
) -> anyhow::Result<[Event; 2]> {
    let (session_id, hours) = (uuid(random).to_string(), random.random_range(4.0..8.5));
    let (started, ended) = (instant(date, start)?, instant(date, start + hours)?);
    let score = f64::from(random.random_range(0..1000_u32)) / 10.0;
    let mut one = |kind, at, is_end: bool| {
        Event::UserSession(UserSession {
            event_id: uuid(random),
            organization_id: organization.id,
            timestamp: at,
            user_id: user.id,
            team_id: user.team,
            project_id: user.project,
            session_id: session_id.clone(),
            kind,
            session_start: Some(started),
            session_end: is_end.then_some(ended),
            duration_minutes: None,
            commands_executed: is_end.then_some(user.diligence as i64),
            agents_used: None,
            productivity_score: is_end.then_some(score),
            context: None,
        })
    };
    Ok([
        one(SessionKind::Started, started, false),
        one(SessionKind::Ended, ended, true),
    ])
}
