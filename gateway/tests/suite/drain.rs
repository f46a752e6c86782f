//! Told to stop, the server finishes what it has begun and begins nothing new.

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Guild, job};

#[tokio::test]
async fn a_request_under_way_is_answered_and_its_work_is_kept() {
    let guild = Guild::start().await;
    let client = guild.member("ama", &["client"]).await;
    let address = guild.server.address();
    let body = job().to_string();
    let head = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: guild\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        client.token,
        body.len()
    );
    let (begin, rest) = body.split_at(10);
    let mut under_way = TcpStream::connect(address).await.unwrap();
    under_way.write_all(head.as_bytes()).await.unwrap();
    under_way.write_all(begin.as_bytes()).await.unwrap();
    // The server has taken the connection when it answers a later one.
    guild.get("/health").send().await.expect(StatusCode::OK);
    let (restarted, answer) = tokio::join!(guild.restart(), async {
        // Nobody is let in any more: the server is draining.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        under_way.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        under_way.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    let token = answer.lines().find_map(|line| line.strip_prefix("guildhall-consistency: ")).unwrap();
    let read = restarted.get(location).by(&client).header("guildhall-consistency", token).send().await;
    read.expect(StatusCode::OK);
    restarted.stop().await;
}
