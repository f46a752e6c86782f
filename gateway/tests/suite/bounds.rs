//! What can grow is bounded, and at the bound there is a clear answer.

use std::time::Duration;

use gateway::settings::Origin;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Guild, job};

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused() {
    let guild = Guild::start_quiet().await;
    let client = guild.member("ama", &["client"]).await;
    let ends = guild.ends();
    let mut large = job();
    large["description"] = "x".repeat(70_000).into();
    guild.post("/api/v1/jobs").by(&client).json(&large).send().await.problem(413, "too_large");
    assert_eq!(guild.ends(), ends);
}

#[tokio::test]
async fn a_path_beyond_the_bound_is_refused() {
    let guild = Guild::start().await;
    let long = format!("/api/v1/jobs?q={}", "x".repeat(5000));
    guild.get(&long).send().await.problem(414, "uri_too_long");
}

#[tokio::test]
async fn headers_beyond_the_bound_are_refused() {
    let guild = Guild::start().await;
    let mut connection = TcpStream::connect(guild.server.address()).await.unwrap();
    let request = format!("GET /health HTTP/1.1\r\nhost: guild\r\nx-large: {}\r\n\r\n", "x".repeat(20_000));
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let guild = Guild::start_with(|layers| {
        layers.set("http.header_read_timeout_ms", 50, Origin::Given).unwrap();
    })
    .await;
    let mut silent = TcpStream::connect(guild.server.address()).await.unwrap();
    silent.write_all(b"GET /health HTTP/1.1\r\nhost: ").await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "it is still open");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let guild = Guild::start_with(|layers| {
        layers.set("http.connections_max", 1, Origin::Given).unwrap();
    })
    .await;
    const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nhost: guild\r\nconnection: close\r\n\r\n";
    let first = TcpStream::connect(guild.server.address()).await.unwrap();
    let mut second = TcpStream::connect(guild.server.address()).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(first);
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
