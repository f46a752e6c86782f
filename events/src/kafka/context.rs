//! What librdkafka says, brought to where people look, quietly: what matters is handled where a call fails.

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

/// A client that passes librdkafka's lines on. Connections that come and go are said by those who notice their effect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClientLog;

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for ClientLog {}

/// One of librdkafka's lines.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, line, "librdkafka");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::debug!(facility, line, "librdkafka");
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::trace!(facility, line, "librdkafka"),
    }
}

/// One of librdkafka's errors that belong to no call.
pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::Fatal) => tracing::warn!(%error, reason, "a client of Kafka is lost"),
        _ => tracing::debug!(%error, reason, "a client of Kafka reports"),
    }
}
