//! Every code that a problem document of the gateway itself can carry, in one table.
//!
//! What the rules of the marketplace refuse carries the rejection's own code; `docs/errors.md` lists both.

use http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal $code:literal, $title:literal;)*) => {
        /// A stable code, with its status and title.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name),* }

        impl Code {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What clients compare, `snake_case`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// The status it comes with.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Self::$name => $status),* };
                StatusCode::from_u16(status).expect("the table holds statuses; a test reads them all")
            }

            /// A short sentence, the same at every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// When it comes, and what to do.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),* }
            }
        }
    };
}

codes! {
    /// The body is not JSON. Nothing was read from it.
    MalformedJson = 400 "malformed_json", "The body is not JSON";
    /// The query has a parameter that is unknown, repeated or of the wrong type.
    InvalidQuery = 400 "invalid_query", "The query does not fit";
    /// A header does not have the form its documentation gives.
    InvalidHeader = 400 "invalid_header", "A header does not fit";
    /// The cursor was changed, or belongs to another query, another person or another server.
    InvalidCursor = 400 "invalid_cursor", "The cursor is not one of this query";
    /// The consistency token was changed, or belongs to another log.
    InvalidConsistencyToken = 400 "invalid_consistency_token", "The consistency token is not one of this log";
    /// Money moves here: an `Idempotency-Key` is required, so that a repetition moves none twice.
    IdempotencyKeyMissing = 400 "idempotency_key_missing", "An Idempotency-Key is required";
    /// The webhook is not signed.
    WebhookSignatureMissing = 400 "webhook_signature_missing", "The webhook is not signed";
    /// There is something else where the webhook's signature should be.
    WebhookSignatureMalformed = 400 "webhook_signature_malformed", "The signature cannot be read";
    /// The webhook's body is not JSON.
    WebhookNotJson = 400 "webhook_not_json", "The webhook is not JSON";
    /// There is no access token, or it is not one of ours, or it has run out: log in again.
    Unauthenticated = 401 "unauthenticated", "Log in first";
    /// The e-mail address and the password do not belong together. It is not said which of them is wrong.
    InvalidCredentials = 401 "invalid_credentials", "The e-mail address or the password is wrong";
    /// The session behind the token was ended or has run out: log in again.
    SessionEnded = 401 "session_ended", "The session is over";
    /// The account is suspended.
    AccountSuspended = 403 "account_suspended", "The account is suspended";
    /// The caller's role does not allow it.
    Forbidden = 403 "forbidden", "Not allowed";
    /// None of the secrets shared with the provider made the signature, or the body is not the one that was signed.
    WebhookSignatureWrong = 403 "webhook_signature_wrong", "The signature is not the provider's";
    /// The webhook was signed too long ago, and may be somebody's recording.
    WebhookTooOld = 403 "webhook_too_old", "The signature is old";
    /// The webhook was signed in the future: compare the clocks.
    WebhookTooNew = 403 "webhook_too_new", "The signature is of the future";
    /// There is no such thing, or the caller may not know that there is.
    NotFound = 404 "not_found", "There is no such thing";
    /// The path exists, with another method: see the `Allow` header.
    MethodNotAllowed = 405 "method_not_allowed", "Not with this method";
    /// The projection of this dead letter has stopped: mend what stopped it first.
    ProjectionStopped = 409 "projection_stopped", "The projection has stopped";
    /// The wallet has less available than that.
    InsufficientFunds = 409 "insufficient_funds", "There is not enough";
    /// Something else is under way with the builds of this read model: look at it, and try again.
    BuildUnderWay = 409 "build_under_way", "Something else is under way";
    /// The build is not as far as that: see its state.
    BuildNotReady = 409 "build_not_ready", "The build is not ready";
    /// The build differs from the live one, though both are of the same version. It can be swapped in by force.
    BuildDiffers = 409 "build_differs", "The build differs";
    /// The build answers queries: swap another one in first.
    BuildIsLive = 409 "build_is_live", "The build is live";
    /// The build did not come up to the live one within the time for which that may stand still.
    BuildBehind = 409 "build_behind", "The build is behind";
    /// The two builds could not be brought to the same positions, so they were not compared: try again.
    BuildsNotTogether = 409 "builds_not_together", "The builds did not come together";
    /// `If-Match` names another version than the current one: read again, decide again.
    VersionMismatch = 412 "version_mismatch", "The version is another";
    /// The body is larger than the server takes, or the command's events would be.
    TooLarge = 413 "too_large", "Too large";
    /// Path and query are longer than the server takes.
    UriTooLong = 414 "uri_too_long", "The path is too long";
    /// The body must be `application/json`.
    UnsupportedMediaType = 415 "unsupported_media_type", "The body must be application/json";
    /// The webhook is JSON, but not as the provider sends it.
    WebhookUnknownShape = 422 "webhook_unknown_shape", "The webhook is not as the provider sends it";
    /// The body has a field that does not exist here; `errors` names it.
    UnknownField = 422 "unknown_field", "A field is unknown";
    /// A field is missing, has the wrong type or is out of bounds; `errors` names each.
    InvalidField = 422 "invalid_field", "A field does not fit";
    /// The currency is not one of ISO 4217 with minor units.
    UnknownCurrency = 422 "unknown_currency", "The currency is unknown";
    /// An amount must be more than zero.
    AmountNotPositive = 422 "amount_not_positive", "The amount must be more than zero";
    /// The `Idempotency-Key` was used by the same caller for the same operation with another content.
    IdempotencyKeyReused = 422 "idempotency_key_reused", "The key was used for another content";
    /// Something broke inside; it was logged under the `trace_id`.
    Internal = 500 "internal", "Something broke inside";
    /// This server has no payment provider, so nobody can be charged or paid.
    PaymentsNotOffered = 501 "payments_not_offered", "There is no payment provider";
    /// Others kept changing the same thing; this attempt did nothing: try again.
    Contended = 503 "contended", "Others keep changing this";
    /// The server cannot take or answer this now, since the log is away for instance; this attempt did nothing: try again.
    Unavailable = 503 "unavailable", "Not available now";
    /// It was on its way when the log went away, or took too long, and may have been done: repeat it with the same
    /// `Idempotency-Key`.
    InDoubt = 503 "in_doubt", "It may have been done";
    /// Too many wait already; this attempt did nothing: try again later.
    Overloaded = 503 "overloaded", "Too many wait";
    /// The request took longer than the server allows. A command may still be carried out.
    Timeout = 503 "timeout", "It took too long";
    /// The read model, or this server's copy of the log, has not yet seen what the consistency token stands for: try again.
    Lagging = 503 "lagging", "It lags behind";
    /// The read model cannot go past the command that the token stands for until an operator has seen to a dead letter.
    Parked = 503 "parked", "A dead letter is in the way";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_has_an_error_status() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }
}
