//! What goes wrong inside a handler stays inside: an answer comes all the same, and tells nothing.

use std::{sync::Arc, time::Duration};

use axum::{Router, middleware::from_fn_with_state, routing::get};
use gateway::{
    http::{Problem, edge::Edge, edge::edge},
    metering::RouteMetrics,
    server,
    settings::Layers,
};
use tokio::{net::TcpListener, sync::oneshot};

use crate::harness::{Client, Reply};

async fn panicking() -> &'static str {
    panic!("the secret of the house")
}

async fn stuck() -> &'static str {
    std::future::pending().await
}

async fn breaking() -> Problem {
    Problem::internal(&"the secret of the house")
}

/// Asks a server that has only routes that go wrong.
async fn ask(path: &str) -> Reply {
    let state = Arc::new(Edge {
        metrics: RouteMetrics::new("GET", "wrong"),
        uri_bytes_max: 100,
        timeout: Duration::from_millis(20),
    });
    let router = Router::new()
        .route("/panicking", get(panicking))
        .route("/stuck", get(stuck))
        .route("/breaking", get(breaking))
        .layer(from_fn_with_state(state, edge));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    let http = Layers::defaults().settings().unwrap().http;
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        server::serve(listener, router, &http, async { drop(stopped.await) }).await;
    });
    let reply = client.call("GET", path).send().await;
    drop(client);
    stop.send(()).unwrap();
    served.await.unwrap();
    reply
}

#[tokio::test]
async fn a_panic_is_an_internal_problem() {
    let reply = ask("/panicking").await.problem(500, "internal");
    assert!(!reply.raw.contains("secret"), "{}", reply.raw);
}

#[tokio::test]
async fn an_internal_problem_does_not_tell_its_cause() {
    let reply = ask("/breaking").await.problem(500, "internal");
    assert!(!reply.raw.contains("secret"), "{}", reply.raw);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let reply = ask("/stuck").await.problem(503, "timeout");
    assert_eq!(reply.header("retry-after"), "1");
}
