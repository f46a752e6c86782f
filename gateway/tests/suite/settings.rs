//! Settings come in layers, say where they came from, and refuse what they do not know.

use gateway::settings::{Layers, Origin, SettingsError};

fn variables(pairs: &[(&str, &str)]) -> Result<Layers, SettingsError> {
    let mut layers = Layers::defaults();
    layers.add_variables(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))?;
    Ok(layers)
}

#[test]
fn the_defaults_are_complete_and_hold() {
    let settings = Layers::defaults().settings().unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.policy, commands::Policy::default());
    assert_eq!(settings.workers, workers::WorkerSettings::default());
}

#[test]
fn a_file_wins_over_the_defaults_and_a_variable_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "listen = '127.0.0.1:1'\n[auth]\ntoken_lifetime_s = 60\n").unwrap();
    let mut layers = Layers::defaults();
    layers.add_file(&file).unwrap();
    let variable = ("GUILDHALL_AUTH__TOKEN_LIFETIME_S".to_owned(), "90".to_owned());
    layers.add_variables([variable]).unwrap();
    let settings = layers.settings().unwrap();
    assert_eq!((settings.listen.port(), settings.auth.token_lifetime_s), (1, 90));
    let printed = layers.render();
    let line = |name: &str| printed.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("listen").ends_with(&format!("# file {}", file.display())), "{printed}");
    assert!(line("token_lifetime_s").ends_with("# variable GUILDHALL_AUTH__TOKEN_LIFETIME_S"), "{printed}");
    assert!(line("profile").ends_with("# default"), "{printed}");
}

#[test]
fn what_is_printed_is_toml_and_keeps_secrets() {
    let printed = variables(&[("GUILDHALL_AUTH__TOKEN_SECRET", "do not tell anybody")]).unwrap().render();
    assert!(!printed.contains("do not tell") && !printed.contains("development only"), "{printed}");
    let table: toml::Table = printed.parse().unwrap();
    assert_eq!(table["auth"]["token_secret"].as_str(), Some("********"));
    assert_eq!(table["http"]["body_bytes_max"].as_integer(), Some(65536));
}

#[test]
fn the_password_in_the_url_of_the_read_store_is_not_shown() {
    let url = "mongodb://guildhall:psst@mongo-1:27017,mongo-2:27017/?replicaSet=rs0";
    let layers = variables(&[("GUILDHALL_READ_STORE__URL", url)]).unwrap();
    let settings = layers.settings().unwrap();
    assert!(settings.read_store.is_shared());
    let options = settings.read_store.options(std::path::Path::new("/data"));
    assert_eq!((options.url.as_str(), options.mongodb.connections_max), (url, 50));
    assert!(!format!("{settings:?} {options:?} {}", layers.render()).contains("psst"));
    assert!(layers.render().contains("mongodb://********@mongo-1:27017,mongo-2:27017/?replicaSet=rs0"));
}

#[test]
fn a_read_store_that_no_engine_keeps_is_refused_without_its_password() {
    for url in ["mysql://here", "mongodb://", "embedded:/elsewhere", "mongodb://me:psst@:x/"] {
        let refused =
            variables(&[("GUILDHALL_READ_STORE__URL", url)]).unwrap().settings().unwrap_err().to_string();
        assert!(
            refused.contains("read_store.url") && refused.contains("GUILDHALL_READ_STORE__URL"),
            "{refused}"
        );
        assert!(!refused.contains("psst"), "{refused}");
    }
    for (name, value) in [("DATABASE_PREFIX", "Guild.hall"), ("READ_PREFERENCE", "anybody")] {
        let pairs = [
            ("GUILDHALL_READ_STORE__URL", "mongodb://here"),
            (&format!("GUILDHALL_READ_STORE__{name}"), value),
        ];
        assert!(variables(&pairs).and_then(|layers| layers.settings()).is_err(), "{name}");
    }
}

#[test]
fn settings_of_librdkafka_are_passed_through_and_their_secrets_are_masked() {
    let mut layers = variables(&[("GUILDHALL_LOG__KAFKA__PROPERTIES__SASL__PASSWORD", "psst")]).unwrap();
    let file = "[log.kafka.properties]\n\"security.protocol\" = 'SASL_SSL'\nssl.ca.location = '/ca.pem'\n\
                ssl.key.pem = 'psst'\nsocket.keepalive.enable = true\nfetch.max.bytes = 7";
    layers.add_text(file, &Origin::Given).unwrap();
    let settings = layers.settings().unwrap();
    assert!(!format!("{settings:?}").contains("psst"));
    let options = settings.log.options(std::path::Path::new("/data"));
    let passed: Vec<_> =
        options.kafka.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        passed,
        [
            ("fetch.max.bytes", "7"),
            ("sasl.password", "psst"),
            ("security.protocol", "SASL_SSL"),
            ("socket.keepalive.enable", "true"),
            ("ssl.ca.location", "/ca.pem"),
            ("ssl.key.pem", "psst"),
        ]
    );
    let printed = layers.render();
    assert!(!printed.contains("psst"), "{printed}");
    let table: toml::Table = printed.parse().unwrap();
    let shown = &table["log"]["kafka"]["properties"];
    assert_eq!(shown["sasl.password"].as_str(), Some("********"));
    assert_eq!(shown["security.protocol"].as_str(), Some("SASL_SSL"));
}

#[test]
fn a_log_that_no_engine_keeps_is_refused_with_what_is_known() {
    for (name, value, key) in [
        ("GUILDHALL_LOG__URL", "mysql://here", "log.url"),
        ("GUILDHALL_LOG__URL", "kafka://here", "log.url"),
        ("GUILDHALL_LOG__KAFKA__TOPIC_PREFIX", "my topics", "log.kafka.topic_prefix"),
        ("GUILDHALL_LOG__KAFKA__PARTITIONS", "0", "log.kafka.partitions"),
    ] {
        let told = variables(&[(name, value)]).unwrap().settings().unwrap_err().to_string();
        assert!(told.contains(&format!("`{key}`")) && told.contains(name), "{told}");
    }
    let settings = variables(&[("GUILDHALL_LOG__URL", "kafka://one:9092,two:9092")]).unwrap().settings();
    assert!(settings.unwrap().log.is_shared());
    assert!(!Layers::defaults().settings().unwrap().log.is_shared());
}

#[test]
fn the_defaults_of_the_log_are_those_of_its_crate() {
    let here = std::path::Path::new("/data");
    let ours = Layers::defaults().settings().unwrap().log.options(here);
    assert_eq!(format!("{ours:?}"), format!("{:?}", events::log::LogOptions::embedded(here)));
}

#[test]
fn an_unknown_key_is_refused_with_its_name_and_source() {
    let told = variables(&[("GUILDHALL_LISTENS", "127.0.0.1:1")]).unwrap_err().to_string();
    assert!(told.contains("`listens`") && told.contains("variable GUILDHALL_LISTENS"), "{told}");
    let mut layers = Layers::defaults();
    let told = layers.add_text("[auth]\ntoken_life_s = 1\n", &Origin::Given).unwrap_err().to_string();
    assert!(told.contains("`auth.token_life_s`") && told.contains("auth.token_lifetime_s"), "{told}");
    assert!(variables(&[("GUILDHALL_CONFIG", "x"), ("OTHER", "y")]).is_ok());
}

#[test]
fn a_value_of_another_kind_is_refused_with_its_key_and_source() {
    for (name, value, key) in [
        ("GUILDHALL_AUTH__TOKEN_LIFETIME_S", "soon", "auth.token_lifetime_s"),
        ("GUILDHALL_HTTP__BODY_BYTES_MAX", "-1", "http.body_bytes_max"),
        ("GUILDHALL_LISTEN", "everywhere", "listen"),
        ("GUILDHALL_PROFILE", "staging", "profile"),
        ("GUILDHALL_WORKERS__PROJECTORS", "perhaps", "workers.projectors"),
    ] {
        let told = variables(&[(name, value)]).and_then(|layers| layers.settings()).unwrap_err().to_string();
        assert!(told.contains(&format!("`{key}`")) && told.contains(name), "{told}");
    }
    let mut layers = Layers::defaults();
    let told = layers.add_text("listen = 8080", &Origin::Given).unwrap_err().to_string();
    assert!(told.contains("takes string, not integer"), "{told}");
}

#[test]
fn a_pair_that_cannot_hold_is_refused_in_words() {
    for pairs in [
        [("GUILDHALL_HTTP__CONSISTENCY_WAIT_MS", "5000"), ("GUILDHALL_HTTP__REQUEST_TIMEOUT_MS", "1000")],
        [("GUILDHALL_AUTH__TOKEN_LIFETIME_S", "3600"), ("GUILDHALL_POLICY__SESSION_LIFETIME_MS", "60000")],
        [("GUILDHALL_AUTH__TOKEN_SECRET", "the same"), ("GUILDHALL_SECRETS__LINK_SECRET", "the same")],
        [("GUILDHALL_WORKERS__PROJECTORS", "false"), ("GUILDHALL_WORKERS__PROCESSES", "true")],
        [("GUILDHALL_LOG__COMMAND_DEADLINE_MS", "5000"), ("GUILDHALL_HTTP__REQUEST_TIMEOUT_MS", "5000")],
    ] {
        let told = variables(&pairs).unwrap().settings().unwrap_err().to_string();
        assert!(told.contains("cannot both hold") && told.contains(pairs[0].0), "{told}");
    }
    let told =
        variables(&[("GUILDHALL_HTTP__CONNECTIONS_MAX", "0")]).unwrap().settings().unwrap_err().to_string();
    assert!(told.contains("must be at least 1"), "{told}");
}

#[test]
fn a_job_may_not_take_more_bids_than_one_commit_can_end() {
    let with = |bids: &str| variables(&[("GUILDHALL_POLICY__BIDS_PER_JOB_MAX", bids)]).unwrap().settings();
    assert_eq!(with("900").unwrap().policy.bids_per_job_max, 900);
    let told = with("901").unwrap_err().to_string();
    assert!(told.contains("`policy.bids_per_job_max`") && told.contains("at most 900"), "{told}");
    assert!(told.contains("one commit"), "{told}");
}

#[test]
fn what_concerns_money_is_settable_within_bounds() {
    let with = |name: &str, value: &str| variables(&[(name, value)]).unwrap().settings();
    let settings = with("GUILDHALL_POLICY__MONEY__FEE_BASIS_POINTS", "250").unwrap();
    assert_eq!(settings.policy.money.fee_basis_points, 250);
    for (name, value, sentence) in [
        ("GUILDHALL_POLICY__MONEY__FEE_BASIS_POINTS", "10001", "must be 0 to 10000"),
        ("GUILDHALL_POLICY__MONEY__PAYMENT_ATTEMPTS_MAX", "0", "must be 1 to 100"),
        ("GUILDHALL_POLICY__MONEY__PAYOUT_ATTEMPTS_MAX", "101", "must be 1 to 100"),
        ("GUILDHALL_POLICY__MONEY__EARNINGS_HOLD_MS", "0", "must be 1 to 31622400000"),
        ("GUILDHALL_POLICY__MONEY__PAYOUT_BATCH_EVERY_MS", "31622400001", "a year"),
        ("GUILDHALL_POLICY__MONEY__PAYOUT_REVIEWED_FROM_UNITS", "-1", "must be at least 0"),
    ] {
        let told = with(name, value).unwrap_err().to_string();
        assert!(told.contains(name) && told.contains(sentence), "{told}");
    }
}

#[test]
fn what_is_shared_with_the_payment_provider_is_checked_and_masked() {
    for (name, value, sentence) in [
        ("GUILDHALL_PAYMENTS__PROVIDER", "bank", "unknown variant"),
        ("GUILDHALL_PAYMENTS__URL", "https://there", "http://HOST:PORT"),
        ("GUILDHALL_PAYMENTS__API_KEY", "short", "at least 32 bytes"),
        ("GUILDHALL_PAYMENTS__WEBHOOK_SECRETS", "short", "at least 32 bytes"),
        ("GUILDHALL_PAYMENTS__WEBHOOK_SECRETS", "1,2,3,4,5", "1 to 4 secrets"),
        ("GUILDHALL_PAYMENTS__TIMEOUT_MS", "0", "must be at least 1"),
    ] {
        let told = variables(&[(name, value)]).unwrap().settings().unwrap_err().to_string();
        assert!(told.contains(name) && told.contains(sentence), "{told}");
    }
    let both = "the old secret, which has 32 bytes and more,the new secret, which";
    let layers = variables(&[
        ("GUILDHALL_PAYMENTS__URL", "http://127.0.0.1:8090"),
        ("GUILDHALL_PAYMENTS__API_KEY", "psst, a key of thirty-two bytes or more"),
        ("GUILDHALL_PAYMENTS__WEBHOOK_SECRETS", &both.replace(", ", "; ")),
    ]);
    let layers = layers.unwrap();
    let told = layers.settings().unwrap_err().to_string();
    assert!(told.contains("at least 32 bytes") && !told.contains("the new secret"), "{told}");
    let printed = layers.render();
    assert!(!printed.contains("psst") && !printed.contains("the old secret"), "{printed}");
    assert!(printed.contains("http://127.0.0.1:8090"), "{printed}");
}

#[test]
fn a_file_that_is_not_there_is_told_by_its_name() {
    let told = Layers::of_process(Some(std::path::Path::new("/no/such.toml"))).unwrap_err().to_string();
    assert!(told.contains("/no/such.toml"), "{told}");
}
