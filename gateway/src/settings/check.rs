//! What settings must hold beyond their types: bounds, pairs, and what production asks for.

use commands::{MoneyPolicy, Policy};
use secrecy::ExposeSecret;

use super::{Layers, Origin, Profile, Provider, SECRETS, Settings, SettingsError};
use events::log::LogError;
use projections::StoreError;

/// A secret in production has at least this many bytes.
const SECRET_BYTES_MIN: usize = 32;

pub(super) fn check(settings: &Settings, layers: &Layers) -> Result<(), SettingsError> {
    let checks = Checks { layers };
    checks.bounds(settings)?;
    checks.log(settings)?;
    checks.read_store(settings)?;
    checks.money(&settings.policy.money)?;
    checks.payments(settings)?;
    checks.pairs(settings)?;
    checks.secrets(settings)
}

struct Checks<'a> {
    layers: &'a Layers,
}

impl Checks<'_> {
    fn invalid(&self, key: &str, reason: &str) -> SettingsError {
        SettingsError::Invalid {
            key: key.to_owned(),
            origin: self.layers.origin(key),
            reason: reason.to_owned(),
        }
    }

    fn pair(&self, keys: [&str; 2], reason: &str) -> SettingsError {
        let named = keys.map(|key| format!("`{key}` ({})", self.layers.origin(key)));
        SettingsError::Pair { keys: named.join(" and "), reason: reason.to_owned() }
    }

    /// The URL names an engine, and the names of topics can be topics.
    fn log(&self, settings: &Settings) -> Result<(), SettingsError> {
        let log = &settings.log;
        if let Err(LogError::Refused(sentence)) = log.options(&settings.data).is_shared() {
            return Err(self.invalid("log.url", &sentence));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let prefix = &log.kafka.topic_prefix;
        if !(1..=100).contains(&prefix.len()) || !prefix.bytes().all(allowed) {
            let reason = "takes 1 to 100 ASCII letters, digits, dots, dashes and underscores";
            return Err(self.invalid("log.kafka.topic_prefix", reason));
        }
        let group = &log.kafka.group_prefix;
        if group.len() > 100 || !group.bytes().all(allowed) {
            let reason = "takes at most 100 ASCII letters, digits, dots, dashes and underscores";
            return Err(self.invalid("log.kafka.group_prefix", reason));
        }
        Ok(())
    }

    /// The URL names an engine that can read it.
    fn read_store(&self, settings: &Settings) -> Result<(), SettingsError> {
        let store = &settings.read_store;
        let url = store.url.expose_secret();
        if url.starts_with("embedded:") {
            return Err(self.invalid("read_store.url", "is `embedded`: the folder is that of `data`"));
        }
        match store.options(&settings.data).is_shared() {
            Ok(_) => {}
            Err(StoreError::Refused(sentence)) => return Err(self.invalid("read_store.url", &sentence)),
            Err(error) => return Err(self.invalid("read_store.url", &error.to_string())),
        }
        if store.connections_min > store.connections_max {
            return Err(self.pair(
                ["read_store.connections_min", "read_store.connections_max"],
                "no more connections can be kept open than there may be",
            ));
        }
        Ok(())
    }

    /// A bound of nothing would refuse everything.
    fn bounds(&self, settings: &Settings) -> Result<(), SettingsError> {
        let (http, auth, policy) = (&settings.http, &settings.auth, &settings.policy);
        let at_least_one = [
            ("log.queue_bytes_max", settings.log.queue_bytes_max as u64),
            ("log.heads_cached_max", settings.log.heads_cached_max as u64),
            ("log.command_deadline_ms", settings.log.command_deadline_ms),
            ("log.republish_after_ms", settings.log.republish_after_ms),
            ("log.kafka.partitions", u64::from(settings.log.kafka.partitions)),
            ("read_store.connections_max", u64::from(settings.read_store.connections_max)),
            ("read_store.connect_timeout_ms", settings.read_store.connect_timeout_ms),
            ("read_store.selection_timeout_ms", settings.read_store.selection_timeout_ms),
            ("read_store.operation_timeout_ms", settings.read_store.operation_timeout_ms),
            ("http.connections_max", http.connections_max as u64),
            ("http.body_bytes_max", http.body_bytes_max as u64),
            ("http.uri_bytes_max", http.uri_bytes_max as u64),
            ("http.headers_max", http.headers_max as u64),
            ("http.header_read_timeout_ms", http.header_read_timeout_ms),
            ("http.request_timeout_ms", http.request_timeout_ms),
            ("auth.token_lifetime_s", auth.token_lifetime_s),
            ("auth.staleness_max_ms", auth.staleness_max_ms),
            ("auth.argon2_iterations", u64::from(auth.argon2_iterations)),
            ("auth.argon2_parallelism", u64::from(auth.argon2_parallelism)),
            ("auth.password_hashes_max", auth.password_hashes_max as u64),
            ("workers.batch_commits_max", settings.workers.batch_commits_max as u64),
            ("workers.redrive_run_events_max", settings.workers.redrive_run_events_max as u64),
            ("workers.react_concurrency_max", settings.workers.react_concurrency_max as u64),
            ("workers.dispatch_concurrency_max", settings.workers.dispatch_concurrency_max as u64),
            ("workers.dispatch_open_max", settings.workers.dispatch_open_max as u64),
            ("workers.heartbeat_ms", settings.workers.heartbeat_ms),
            ("workers.poll_interval_ms", settings.workers.poll_interval_ms),
            ("workers.effects_concurrency_max", settings.workers.effects_concurrency_max as u64),
            ("workers.effects_open_max", settings.workers.effects_open_max as u64),
            ("workers.effect_asked_after_ms", settings.workers.effect_asked_after_ms),
            ("workers.breaker_failures_max", settings.workers.breaker_failures_max as u64),
            ("workers.breaker_pause_first_ms", settings.workers.breaker_pause_first_ms),
            ("workers.builds_sample_max", settings.workers.builds_sample_max as u64),
            ("workers.builds_hold_ms", settings.workers.builds_hold_ms),
            ("policy.bids_per_job_max", policy.bids_per_job_max as u64),
            ("policy.milestones_per_bid_max", policy.milestones_per_bid_max as u64),
        ];
        let periods = [
            ("policy.registration_abandoned_after_ms", policy.registration_abandoned_after_ms),
            ("policy.job_expires_after_ms", policy.job_expires_after_ms),
            ("policy.proposal_expires_after_ms", policy.proposal_expires_after_ms),
            ("policy.review_period_ms", policy.review_period_ms),
            ("policy.session_lifetime_ms", policy.session_lifetime_ms),
        ];
        let zero = at_least_one.iter().find(|(_, value)| *value == 0).map(|(key, _)| *key);
        let negative = periods.iter().find(|(_, value)| *value <= 0).map(|(key, _)| *key);
        match zero.or(negative) {
            Some(key) => Err(self.invalid(key, "must be at least 1")),
            None if policy.bids_per_job_max > Policy::BIDS_PER_JOB_LIMIT => {
                Err(self.invalid("policy.bids_per_job_max", &too_many_bids()))
            }
            None if http.header_bytes_max < 8192 => {
                Err(self
                    .invalid("http.header_bytes_max", "must be at least 8192, the least a connection reads"))
            }
            None => Ok(()),
        }
    }

    /// A fee takes no more than there is, periods end, and counts stay small.
    fn money(&self, money: &MoneyPolicy) -> Result<(), SettingsError> {
        let (fee_max, attempts_max) = (MoneyPolicy::FEE_LIMIT_BASIS_POINTS, MoneyPolicy::ATTEMPTS_LIMIT);
        let counts = [
            ("policy.money.fee_basis_points", money.fee_basis_points, 0, fee_max),
            ("policy.money.payment_attempts_max", money.payment_attempts_max, 1, attempts_max),
            ("policy.money.payout_attempts_max", money.payout_attempts_max, 1, attempts_max),
        ];
        if let Some((key, _, min, max)) =
            counts.iter().find(|(_, value, min, max)| value < min || value > max)
        {
            return Err(self.invalid(key, &format!("must be {min} to {max}")));
        }
        let periods = [
            ("policy.money.payment_expires_after_ms", money.payment_expires_after_ms),
            ("policy.money.earnings_hold_ms", money.earnings_hold_ms),
            ("policy.money.payout_batch_every_ms", money.payout_batch_every_ms),
        ];
        let longest = MoneyPolicy::PERIOD_LIMIT_MS;
        if let Some((key, _)) = periods.iter().find(|(_, period)| !(1..=longest).contains(period)) {
            return Err(self.invalid(key, &format!("must be 1 to {longest}, a year")));
        }
        if money.payout_reviewed_from_units < 0 {
            return Err(self.invalid("policy.money.payout_reviewed_from_units", "must be at least 0"));
        }
        Ok(())
    }

    /// The provider can be reached, and what it says can be believed.
    fn payments(&self, settings: &Settings) -> Result<(), SettingsError> {
        let payments = &settings.payments;
        if payments.provider == Provider::None {
            return Ok(());
        }
        if settings.profile == Profile::Production {
            let reason = "the sandbox moves no real money: production takes \"none\"";
            return Err(self.invalid("payments.provider", reason));
        }
        if let Some(reason) = payments.complaint_about_url() {
            return Err(self.invalid("payments.url", reason));
        }
        use workers::payments::sandbox::{SECRET_BYTES_MIN, WEBHOOK_SECRETS_MAX};
        let secrets = &payments.webhook_secrets;
        if !(1..=WEBHOOK_SECRETS_MAX).contains(&secrets.len()) {
            let reason = format!("takes 1 to {WEBHOOK_SECRETS_MAX} secrets");
            return Err(self.invalid("payments.webhook_secrets", &reason));
        }
        let too_short = |secret: &secrecy::SecretString| secret.expose_secret().len() < SECRET_BYTES_MIN;
        let short = if too_short(&payments.api_key) {
            Some("payments.api_key")
        } else {
            secrets.iter().any(too_short).then_some("payments.webhook_secrets")
        };
        if let Some(key) = short {
            return Err(self.invalid(key, &format!("needs at least {SECRET_BYTES_MIN} bytes")));
        }
        if payments.timeout_ms == 0 {
            return Err(self.invalid("payments.timeout_ms", "must be at least 1"));
        }
        Ok(())
    }

    fn pairs(&self, settings: &Settings) -> Result<(), SettingsError> {
        let (http, auth, policy) = (&settings.http, &settings.auth, &settings.policy);
        if http.consistency_wait_ms >= http.request_timeout_ms {
            return Err(self.pair(
                ["http.consistency_wait_ms", "http.request_timeout_ms"],
                "a query may not wait longer than its request may take",
            ));
        }
        if settings.log.command_deadline_ms >= http.request_timeout_ms {
            return Err(self.pair(
                ["log.command_deadline_ms", "http.request_timeout_ms"],
                "a command has to be answered before its request is cut off",
            ));
        }
        if settings.workers.backoff_first_ms > settings.workers.backoff_max_ms {
            return Err(self.pair(
                ["workers.backoff_first_ms", "workers.backoff_max_ms"],
                "the first pause may not be longer than the longest",
            ));
        }
        if settings.workers.heartbeat_ms > settings.workers.lease_ms / 3 {
            return Err(self.pair(
                ["workers.heartbeat_ms", "workers.lease_ms"],
                "whoever misses two heartbeats must not be taken for dead: a lease takes three of them",
            ));
        }
        if settings.workers.processes && !settings.workers.projectors {
            return Err(self.pair(
                ["workers.processes", "workers.projectors"],
                "process managers find their steps and timers in read models, which projectors of this process write",
            ));
        }
        if http.uri_bytes_max > http.header_bytes_max {
            return Err(self.pair(
                ["http.uri_bytes_max", "http.header_bytes_max"],
                "the request line is part of what header_bytes_max bounds",
            ));
        }
        if u128::from(auth.token_lifetime_s) * 1000 > policy.session_lifetime_ms.unsigned_abs().into() {
            return Err(self.pair(
                ["auth.token_lifetime_s", "policy.session_lifetime_ms"],
                "an access token may not outlive its session",
            ));
        }
        if auth.argon2_memory_kib < 8 * auth.argon2_parallelism {
            return Err(self.pair(
                ["auth.argon2_memory_kib", "auth.argon2_parallelism"],
                "Argon2 needs at least 8 KiB for each lane",
            ));
        }
        if auth.token_secret.expose_secret() == settings.secrets.link_secret.expose_secret() {
            return Err(self.pair(
                ["auth.token_secret", "secrets.link_secret"],
                "each purpose needs a secret of its own",
            ));
        }
        Ok(())
    }

    fn secrets(&self, settings: &Settings) -> Result<(), SettingsError> {
        if settings.master_key().is_none() {
            return Err(self.invalid("secrets.master_key", "takes 64 hexadecimal digits"));
        }
        if settings.profile != Profile::Production {
            return Ok(());
        }
        let defaults = Layers::defaults();
        let unused = |key: &str| key.starts_with("payments.") && settings.payments.provider == Provider::None;
        for key in SECRETS.into_iter().filter(|key| !unused(key)) {
            if self.layers.origin(key) == Origin::Default || self.layers.same_value(&defaults, key) {
                return Err(self.invalid(key, "the default is known to everybody: production needs its own"));
            }
        }
        let short = [
            ("auth.token_secret", &settings.auth.token_secret),
            ("secrets.link_secret", &settings.secrets.link_secret),
        ];
        match short.iter().find(|(_, secret)| secret.expose_secret().len() < SECRET_BYTES_MIN) {
            Some((key, _)) => Err(self.invalid(key, "production needs at least 32 bytes")),
            None => Ok(()),
        }
    }
}

fn too_many_bids() -> String {
    let limit = Policy::BIDS_PER_JOB_LIMIT;
    format!(
        "must be at most {limit}: what ends a job ends all its bids in one commit, and a commit is limited"
    )
}

impl Layers {
    fn same_value(&self, other: &Self, key: &str) -> bool {
        let value = |layers: &Self| layers.leaves.get(key).map(|leaf| leaf.value.clone());
        value(self) == value(other)
    }
}

impl Settings {
    /// The master key's bytes; `None` when it is not 64 hexadecimal digits.
    pub fn master_key(&self) -> Option<[u8; 32]> {
        let text = self.secrets.master_key.expose_secret();
        data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
    }
}
