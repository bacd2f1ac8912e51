//! `/dashboard`, at any time of the year.

use std::collections::BTreeMap;

use rand::{RngExt, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{
    anomalies::{Hours, Judged, near},
    events::{ORGANIZATIONS, instant},
    facts::{between, facts},
    made::{TEAMS, USERS, id},
    year::Asking,
};
use crate::{
    dashboard::{Query, TimeRange},
    tests::dashboard::check,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_dashboards_are_what_the_events_of_the_year_give() {
    let mut asking = Asking::about("dashboards").await;
    let random = &mut asking.random;
    let mut of = BTreeMap::new();
    for organization in ORGANIZATIONS {
        of.insert(organization, facts(&asking.owner, organization).await);
    }
    let mut full = 0;
    let mut strange = 0;
    for case in 0..asking.cases {
        let organization = *ORGANIZATIONS.choose(random).unwrap();
        let mut pairs = Vec::new();
        let mut pair = |name: &str, value: String| pairs.push((name.to_owned(), value));
        pair(
            "time_range",
            TimeRange::ALL.choose(random).unwrap().to_string(),
        );
        if random.random_bool(0.3) {
            pair("user_id", id(random.random_range(1..=USERS)).to_string());
        }
        if random.random_bool(0.3) {
            pair("team_id", id(random.random_range(1..=TEAMS)).to_string());
        }
        // Often when there is much: at the time of an event.
        let all = &of[&organization];
        let now = match random.random_bool(0.7) {
            true => all.choose(random).unwrap().at.saturating_add_seconds(1),
            false => instant(random),
        };
        println!("case {case}: {organization} at {now}: {pairs:?}");
        let query = Query::parse(&pairs, now).unwrap();
        let begin = query
            .start()
            .saturating_add_seconds(-query.time_range.seconds());
        let some = between(all, begin, query.end());
        let found = check(&asking.world, organization, some, &query, asking.watermark).await;
        full += u64::from(found["overview"]["current"]["commands"]["count"] != 0);

        let hours = Hours::of(all.iter().filter(|fact| {
            let is = |ids: &Option<Vec<_>>, id: Option<_>| {
                ids.as_ref()
                    .is_none_or(|ids| id.is_some_and(|id| ids.contains(&id)))
            };
            is(&query.filter.user_ids, fact.series.user_id)
                && is(&query.filter.team_ids, fact.series.team_id)
        }));
        let day_before = now.saturating_add_seconds(-86_400);
        let Judged { mut found_all, .. } =
            hours.judge((day_before, now), asking.watermark, None, 3.5);
        found_all.truncate(50);
        strange += u64::from(!found_all.is_empty());
        near(&Value::from(found_all), &found["anomalies"], "anomalies");
        assert_eq!(found["time_range"], json!(query.time_range.as_str()));
    }
    println!("{full} with commands, {strange} with anomalies");
    assert!(full > asking.cases / 2, "most must hold something: {full}");
    assert!(strange > asking.cases / 6, "some must stand out: {strange}");
}
