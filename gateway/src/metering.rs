//! Metrics of HTTP: handles are looked up once per route and status, never per request.

use std::{sync::OnceLock, time::Duration};

use http::StatusCode;
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Requests answered, by route, method and status.
pub const REQUESTS_TOTAL: &str = "guildhall_http_requests_total";
/// How long they took, by route and method.
pub const REQUEST_DURATION_SECONDS: &str = "guildhall_http_request_duration_seconds";

/// Between two folds of what was measured.
const UPKEEP_PERIOD: Duration = Duration::from_secs(2);

/// Upper ends of the histogram, seconds.
const BUCKETS_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0];

/// The statuses this server answers with; others share the last slot.
const STATUSES: [u16; 19] =
    [200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 412, 413, 414, 415, 422, 429, 500, 503, 0];

/// The recorder of this process: installed at the first call, the same for every server in it.
pub fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        PrometheusBuilder::new()
            .set_buckets_for_metric(seconds, &BUCKETS_SECONDS)
            .expect("there are buckets")
            .install_recorder()
            .expect("nobody else in this process installs a recorder")
    })
}

/// Folds what histograms have gathered into their buckets from time to time, for as long as it is polled: without it
/// they would grow until somebody scrapes.
pub async fn upkeep() {
    let mut ticks = tokio::time::interval(UPKEEP_PERIOD);
    loop {
        ticks.tick().await;
        recorder().run_upkeep();
    }
}

/// Counts and times one route.
#[derive(Debug)]
pub struct RouteMetrics {
    method: String,
    route: &'static str,
    duration: OnceLock<Histogram>,
    requests: [OnceLock<Counter>; STATUSES.len()],
}

impl RouteMetrics {
    /// Metrics of `route`, a path with `{names}` for its parameters.
    pub fn new(method: &str, route: &'static str) -> Self {
        Self {
            method: method.to_owned(),
            route,
            duration: OnceLock::new(),
            requests: [const { OnceLock::new() }; STATUSES.len()],
        }
    }

    /// The path with `{names}` for its parameters.
    pub fn route(&self) -> &'static str {
        self.route
    }

    /// Counts one answer.
    pub fn record(&self, status: StatusCode, took: Duration) {
        let slot = STATUSES.iter().position(|known| *known == status.as_u16()).unwrap_or(STATUSES.len() - 1);
        let counter = self.requests[slot].get_or_init(|| {
            let (method, status) = (self.method.clone(), STATUSES[slot].to_string());
            metrics::counter!(REQUESTS_TOTAL, "route" => self.route, "method" => method, "status" => status)
        });
        counter.increment(1);
        let duration = self.duration.get_or_init(|| {
            metrics::histogram!(REQUEST_DURATION_SECONDS, "route" => self.route, "method" => self.method.clone())
        });
        duration.record(took.as_secs_f64());
    }
}
