//! Who talks to whom, each through a proxy of its own.

use std::collections::BTreeMap;

use platform::test_support::required_env;
use reqwest::Url;

use super::proxy::{Proxy, Upstream};
use super::services::Service;

/// What services talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Kafka,
    Registry,
    Database,
}

impl Part {
    /// The variable with its address.
    fn variable(self) -> &'static str {
        match self {
            Self::Kafka => "KAFKA_BROKERS",
            Self::Registry => "SCHEMA_REGISTRY_URL",
            Self::Database => "DATABASE_URL",
        }
    }
}

/// Every pair of parts that talk to each other. Instances of a service share its proxies.
pub(crate) const ALL: [(Service, Part); 14] = [
    (Service::Gateway, Part::Kafka),
    (Service::Gateway, Part::Registry),
    (Service::Gateway, Part::Database),
    (Service::Aggregator, Part::Kafka),
    (Service::Aggregator, Part::Registry),
    (Service::Sink, Part::Kafka),
    (Service::Sink, Part::Registry),
    (Service::Sink, Part::Database),
    (Service::Query, Part::Kafka),
    (Service::Query, Part::Registry),
    (Service::Query, Part::Database),
    (Service::Jobs, Part::Kafka),
    (Service::Jobs, Part::Registry),
    (Service::Jobs, Part::Database),
];

/// The proxies.
#[derive(Debug)]
pub(crate) struct Links {
    proxies: BTreeMap<(Service, Part), Proxy>,
    /// Between clients and the gateway.
    pub(crate) clients: Proxy,
}

impl Links {
    /// `gateway` is the port that it listens on.
    pub(crate) async fn new(gateway: u16) -> Self {
        let mut proxies = BTreeMap::new();
        for (service, part) in ALL {
            let address = required_env(part.variable());
            let upstream = match part {
                Part::Kafka => Upstream::Kafka(address),
                Part::Registry | Part::Database => Upstream::Plain(host_and_port(&address)),
            };
            proxies.insert((service, part), Proxy::to(upstream).await);
        }
        Self {
            proxies,
            clients: Proxy::to(Upstream::Plain(format!("127.0.0.1:{gateway}"))).await,
        }
    }

    pub(crate) fn between(&self, service: Service, part: Part) -> &Proxy {
        &self.proxies[&(service, part)]
    }

    /// All, with their names.
    pub(crate) fn all(&self) -> Vec<(String, &Proxy)> {
        let mut all = vec![("Clients-Gateway".to_owned(), &self.clients)];
        for ((service, part), proxy) in &self.proxies {
            all.push((format!("{service:?}-{part:?}"), proxy));
        }
        all
    }

    /// What a service is to be told instead of the true addresses.
    pub(crate) fn variables(
        &self,
        service: Service,
        database: &str,
    ) -> Vec<(&'static str, String)> {
        let ours = self.proxies.iter().filter(|((who, _), _)| *who == service);
        ours.map(|((_, part), proxy)| {
            let address = match part {
                Part::Kafka => format!("127.0.0.1:{}", proxy.port),
                Part::Registry => at_port(&required_env(part.variable()), proxy.port),
                Part::Database => at_port(database, proxy.port),
            };
            (part.variable(), address)
        })
        .collect()
    }
}

fn host_and_port(url: &str) -> String {
    let url = Url::parse(url).expect("a URL");
    let default = if url.scheme().starts_with("postgres") {
        5432
    } else {
        80
    };
    let port = url.port().unwrap_or(default);
    format!("{}:{port}", url.host_str().expect("a host"))
}

fn at_port(url: &str, port: u16) -> String {
    let mut url = Url::parse(url).expect("a URL");
    url.set_host(Some("127.0.0.1")).expect("it has a host");
    url.set_port(Some(port)).expect("it has a host");
    url.into()
}
