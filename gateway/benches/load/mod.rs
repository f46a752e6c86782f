//! A closed-loop HTTP load, as cheap as can be, so that the server is what is measured.

pub mod people;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// The product's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a round of load came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Requests answered as expected.
    pub answered: u64,
    /// Answered a second.
    pub rate: f64,
    /// Median time to an answer, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answered, rate, p50_ms, p99_ms } = self;
        write!(f, "{answered} answered, {rate:.0}/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms")
    }
}

/// One request, whole, as bytes on the wire.
pub fn post(path: &str, token: &str, key: Option<uuid::Uuid>, body: &str) -> Vec<u8> {
    let key = key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n{key}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// `connections` clients, each sending its next request when the last was answered, until `duration` is over or
/// `requests_max` were sent.
///
/// # Panics
/// When a connection breaks, or the status of an answer is none of success.
pub async fn closed_loop(
    address: SocketAddr,
    connections: usize,
    duration: Duration,
    requests_max: u64,
    request: impl Fn() -> Vec<u8> + Clone + Send + 'static,
) -> Measured {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let request = request.clone();
        let share = requests_max.div_ceil(connections as u64);
        clients.spawn(async move { client(address, started + duration, share, request).await });
    }
    let mut latencies = Vec::new();
    while let Some(client) = clients.join_next().await {
        latencies.extend(client.expect("a client does not break off"));
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = ((latencies.len() as f64 * part) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    Measured {
        answered: latencies.len() as u64,
        rate: latencies.len() as f64 / seconds,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    }
}

async fn client(
    address: SocketAddr,
    until: Instant,
    requests_max: u64,
    request: impl Fn() -> Vec<u8>,
) -> Vec<Duration> {
    let mut connection = Connection::open(address).await;
    let mut latencies = Vec::new();
    while Instant::now() < until && (latencies.len() as u64) < requests_max {
        let bytes = request();
        let sent = Instant::now();
        connection.ask(&bytes).await;
        latencies.push(sent.elapsed());
    }
    latencies
}

/// A connection that is kept open.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// # Panics
    /// When nobody listens.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    /// The body of the answer to a request.
    ///
    /// # Panics
    /// When the connection breaks, or the answer's status is none of success.
    pub async fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("the connection holds");
        self.buffer.clear();
        let body = loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("the connection holds");
            let text = || String::from_utf8_lossy(&self.buffer);
            assert!(read > 0, "the server closed the connection: {}", text());
            let Some(end) = find(&self.buffer, b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end]).expect("headers are text");
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|digits| digits.trim().parse().ok())
                .expect("answers have a content-length");
            if self.buffer.len() < end + 4 + length {
                continue;
            }
            assert!(head.starts_with("HTTP/1.1 20"), "{}", text());
            break end + 4;
        };
        &self.buffer[body..]
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The middle of what was measured.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
