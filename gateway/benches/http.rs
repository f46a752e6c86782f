//! An authenticated `POST` of a job at 64 connections, against a bare axum `POST` that parses the same JSON and stores
//! nothing; the gateway role alone, and beside it all in one process with projectors keeping up.
//!
//! Under `compose/stack run --only kafka -- …` the gateway role on that Kafka is measured in the same rounds.
//!
//! `GUILDHALL_BENCH_SECONDS` is the length of one round (default 5), `GUILDHALL_BENCH_ROUNDS` their number (default 5).

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod alone;
mod load;

use std::{net::SocketAddr, time::Duration};

use axum::{Json, Router, http::StatusCode, routing::post};
use gateway::{
    house::Server,
    settings::{Origin, Settings},
};
use load::{Measured, closed_loop, median, people, setting};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use uuid::Uuid;

const CONNECTIONS: usize = 64;
const JOB: &str = r#"{"title":"A booking site for a small hotel","description":"Twelve rooms in Cape Coast. Guests choose dates, pay a deposit, and get a confirmation by e-mail. The owner sees who comes when.","category":"web-development","skills":["design","postgresql","rust"],"budget":{"min":{"amount":"400000","currency":"GHS"},"max":{"amount":"900000","currency":"GHS"}}}"#;

fn main() {
    let server = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seconds = setting("GUILDHALL_BENCH_SECONDS", 5);
    let rounds = setting("GUILDHALL_BENCH_ROUNDS", 5);

    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let bare = server.block_on(start_bare());
    let gateway = server.block_on(alone::serve(settings(folders[0].path(), "embedded"))).0;
    let all =
        server.block_on(Server::start(settings(folders[1].path(), "embedded"))).expect("the house opens");
    let mut servers = vec![("bare", bare), ("gateway role", gateway), ("all in one", all.address())];
    match std::env::var("GUILDHALL_STACK_KAFKA") {
        Ok(brokers) => {
            let settings = settings(folders[2].path(), &format!("kafka://{brokers}"));
            servers.push(("gateway role on Kafka", server.block_on(alone::serve(settings)).0));
        }
        Err(_) => println!("without Kafka: it is measured under compose/stack run --only kafka -- …"),
    }

    let mut rates = vec![Vec::new(); servers.len()];
    let log_in = |(name, address): &(&str, SocketAddr)| match *name {
        "bare" => String::new(),
        _ => server.block_on(log_in(*address)),
    };
    let tokens: Vec<String> = servers.iter().map(log_in).collect();
    for round in 0..=rounds {
        for (index, (name, address)) in servers.iter().enumerate() {
            let token = tokens[index].clone();
            let request = move || load::post("/api/v1/jobs", &token, Some(Uuid::now_v7()), JOB);
            let duration = Duration::from_secs(seconds);
            let measured = client.block_on(closed_loop(*address, CONNECTIONS, duration, u64::MAX, request));
            print(round, name, &measured);
            if round > 0 {
                rates[index].push(measured.rate);
            }
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    let (bare, gateway, all_in_one) = (rates[0], rates[1], rates[2]);
    server.block_on(all.stop());
    println!("bare {bare:.0}/s, gateway role {gateway:.0}/s, all in one {all_in_one:.0}/s");
    println!("all in one / bare {:.3} (no goal: projectors share the cores)", all_in_one / bare);
    println!("ratio post_vs_bare_axum {:.3} goal >= 0.25", gateway / bare);
    if let Some(on_kafka) = rates.get(3) {
        println!("gateway role on Kafka {on_kafka:.0}/s");
        println!("ratio post_on_kafka_vs_embedded {:.3} goal >= 0.4", on_kafka / gateway);
    }
}

fn print(round: u64, name: &str, measured: &Measured) {
    let round = if round == 0 { "warm-up".to_owned() } else { format!("round {round}") };
    println!("{round}: {name}: {measured}");
}

fn settings(folder: &std::path::Path, log: &str) -> Settings {
    let mut layers = alone::layers(folder);
    layers.set("log.url", log, Origin::Given).expect("a known key");
    let prefix = format!("bench-{}", Uuid::now_v7().simple());
    layers.set("log.kafka.topic_prefix", prefix, Origin::Given).expect("a known key");
    layers.settings().expect("the defaults hold")
}

/// The least that a server can do with the same request.
async fn start_bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/api/v1/jobs", post(bare));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "parsed, and that is all")]
struct BareJob {
    title: String,
    description: String,
    category: String,
    skills: Vec<String>,
    budget: BareBudget,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed, and that is all")]
struct BareBudget {
    min: BareMoney,
    max: BareMoney,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed, and that is all")]
struct BareMoney {
    amount: String,
    currency: String,
}

#[derive(Serialize)]
struct BareAnswer {
    id: String,
    version: u64,
}

async fn bare(Json(job): Json<BareJob>) -> (StatusCode, Json<BareAnswer>) {
    (StatusCode::CREATED, Json(BareAnswer { id: job.title, version: 1 }))
}

/// Registers a client and logs in.
async fn log_in(address: SocketAddr) -> String {
    let email = "bench@example.com";
    people::register(address, email, "client").await;
    people::log_in(address, email).await.expect("the account exists")
}
