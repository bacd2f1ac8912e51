//! Every number of a dashboard is what its events give when they are simply counted.

use platform::{
    auth::Role,
    database::{self, TenantDb},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::{
    Timestamp,
    event::Status,
    rollup::SeriesKind::{Agent, Command, Metric, Session},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::counted::{
    check_activity, check_anomalies, check_events, check_figures, check_hours, check_names,
    of_kind, within,
};
use super::lines::{check_change, check_trends};
use super::world::{
    Fact, OURS, THEIRS, World, at, body, execution, fact, id, interaction, metric, say, session,
};
use crate::dashboard::{Query, TimeRange, dashboard};

const NOW: &str = "2026-03-31T12:34:56Z";

/// Events of sixty days, most of them in the last hours.
fn some_facts(random: &mut StdRng, many: usize) -> Vec<(Uuid, Fact)> {
    let mut facts = Vec::new();
    for _ in 0..many {
        let ago = 61.0 * 86_400.0 * random.random_range(0.0_f64..1.0).powi(9);
        let when = at(NOW).saturating_add_seconds(-ago as i64).to_string();
        let mut one_of = |names: &[&str]| names[random.random_range(0..names.len())].to_owned();
        let (command, agent) = (
            one_of(&["build", "test", "ä b"]),
            one_of(&["coder", "planner"]),
        );
        let (kind, model) = (
            one_of(&["started", "updated", "ended"]),
            one_of(&["", "large", "s"]),
        );
        let status = Status::ALL[random.random_range(0..4)];
        let millis = random.random_range(0..5000_u64);
        let one = match random.random_range(0..10) {
            0..4 => fact(&when, Command, &command, execution(status, millis)),
            4..7 => {
                let tokens = (random.random_range(0..9999), random.random_range(0..999));
                let cost = format!("0.{:012}", random.random_range(0..10_u64.pow(12)));
                let one = fact(
                    &when,
                    Agent,
                    &agent,
                    interaction(status, millis, tokens, &cost),
                );
                if model.is_empty() {
                    one
                } else {
                    one.of_model(&model)
                }
            }
            7 => fact(
                &when,
                Metric,
                "productivity_score",
                metric(millis as f64 / 50.0),
            ),
            8 => fact(&when, Metric, "error_rate", metric(0.5)),
            _ if kind == "ended" => {
                let score = (millis % 2 == 0).then_some(millis as f64 / 100.0);
                fact(
                    &when,
                    Session,
                    &kind,
                    session(Some(millis % 1441), score, millis % 7),
                )
            }
            _ => fact(&when, Session, &kind, session(None, None, 0)),
        };
        let mut some = |most: u128| {
            Some(random.random_range(0..=most))
                .filter(|n| *n > 0)
                .and_then(id)
        };
        facts.push((OURS, one.by(some(4), some(3)).in_project(some(2))));
    }
    facts
}

/// Compares all but the anomalies; `facts` are all of the organization's that may count.
pub(super) async fn check(
    world: &World,
    organization: Uuid,
    facts: &[Fact],
    query: &Query,
    watermark: Timestamp,
) -> Value {
    let database = TenantDb::new(world.pool.clone());
    let transaction = database.begin(organization).await.unwrap();
    let found = dashboard(transaction, query, Some(watermark))
        .await
        .unwrap();
    let found = serde_json::to_value(found).unwrap();
    let (start, end, length) = (query.start(), query.end(), query.time_range.seconds());
    assert_eq!(found["start_date"], start.to_string());
    assert_eq!(found["end_date"], end.to_string());
    assert_eq!(found["watermark"], watermark.to_string());
    assert_eq!(end.saturating_add_seconds(-length), start);

    let current = within(facts, query, start, end);
    let previous = within(facts, query, start.saturating_add_seconds(-length), start);
    check_figures(&found["overview"]["current"], &current);
    check_figures(&found["overview"]["previous"], &previous);
    check_change(&found["overview"]);
    let seconds = query.time_range.window().seconds();
    let buckets = found["series"].as_array().unwrap();
    assert_eq!(buckets.len() as i64, length / seconds);
    for (bucket, n) in buckets.iter().zip(0..) {
        let from = start.saturating_add_seconds(n * seconds);
        let to = from.saturating_add_seconds(seconds);
        assert_eq!(bucket["bucket_start"], from.to_string());
        assert_eq!(bucket["complete"], to <= watermark);
        let mut events = current.clone();
        events.retain(|fact| (from..to).contains(&fact.at));
        check_events(bucket, &events);
    }
    check_trends(&found);
    let name = |fact: &Fact| Some(fact.series.name.clone());
    let commands = of_kind(&current, Command);
    check_names(&found["top_commands"], "command_name", &commands, name);
    let agents = of_kind(&current, Agent);
    check_names(&found["top_agents"], "agent_name", &agents, name);
    let model = |fact: &Fact| fact.series.model.clone();
    check_names(&found["models"], "model", &agents, model);
    check_activity(&found["users"], "user_id", &current, |fact| {
        fact.series.user_id
    });
    check_activity(&found["teams"], "team_id", &current, |fact| {
        fact.series.team_id
    });
    check_hours(&found["hours"], &current);
    found
}

#[tokio::test]
async fn every_number_is_what_the_events_give_in_every_range_and_for_everyone() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut facts = some_facts(&mut random, 260);
    // The same people do much more in the other organization.
    let theirs = some_facts(&mut random, 60).into_iter();
    facts.extend(theirs.map(|(_, fact)| (THEIRS, fact)));
    let world = World::with(&facts).await;
    let ours = facts.into_iter().filter(|(whose, _)| *whose == OURS);
    let ours: Vec<Fact> = ours.map(|(_, fact)| fact).collect();
    let watermark = at("2026-03-31T12:20:00Z");
    let sink = world.database.pool(database::Role::Sink).await;
    say(&sink, &[(0, &watermark.to_string()), (1, NOW)]).await;
    for time_range in TimeRange::ALL {
        for (user, team) in [
            (None, None),
            (Some(1), None),
            (None, Some(2)),
            (Some(2), Some(1)),
        ] {
            let mut query = Query::parse(&[], at(NOW)).unwrap();
            query.time_range = time_range;
            query.filter.user_ids = user.and_then(id).map(|id| vec![id]);
            query.filter.team_ids = team.and_then(id).map(|id| vec![id]);
            println!("{time_range} of user {user:?} in team {team:?}");
            let found = check(&world, OURS, &ours, &query, watermark).await;
            check_anomalies(&found["anomalies"], |from| {
                within(&ours, &query, from, from.saturating_add_seconds(3600))
            });
        }
    }
}

#[tokio::test]
async fn every_role_gets_a_dashboard_also_of_nothing() {
    let world = World::with(&[]).await;
    for role in Role::ALL {
        let token = world.token(OURS, role);
        for (range, buckets) in [("1h", 60), ("1d", 96), ("7d", 168), ("30d", 30)] {
            let path = format!("{}?time_range={range}", crate::dashboard::PATH);
            let response = world.send(&path, Some(&token)).await;
            assert_eq!(response.status(), 200);
            let answer = body(response).await;
            assert_eq!(answer["time_range"], range);
            assert_eq!(answer["series"].as_array().unwrap().len(), buckets);
            assert!(answer["query_time_ms"].as_f64().unwrap() > 0.0);
            for list in [
                "top_commands",
                "top_agents",
                "models",
                "teams",
                "users",
                "hours",
                "anomalies",
            ] {
                assert_eq!(answer[list], json!([]), "{list}");
            }
            let current = &answer["overview"]["current"];
            assert_eq!(
                (&current["active_users"], &current["agents"]["cost_usd"]),
                (&json!(0), &json!("0"))
            );
            assert_eq!(answer["overview"]["change"]["commands"], Value::Null);
            let mut trends = answer["trends"].as_array().unwrap().iter();
            assert!(trends.all(|trend| trend["direction"] == "unknown" && trend["points"] == 0));
        }
    }
    let response = world.send(crate::dashboard::PATH, None).await;
    assert_eq!(response.status(), 401);
    let token = world.token(OURS, Role::Viewer);
    let response = world
        .send(
            &format!("{}?time_range=2d&x=1", crate::dashboard::PATH),
            Some(&token),
        )
        .await;
    assert_eq!(response.status(), 400);
    assert_eq!(body(response).await["errors"].as_array().unwrap().len(), 2);
}
