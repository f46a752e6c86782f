//! What a provider's webhook is once it is believed, and why it may not be.

use events::vocabulary::payments::Notice;

/// A webhook that is the provider's own, recent, and understood.
#[derive(Clone, PartialEq)]
pub struct VerifiedWebhook {
    /// The provider's own id of the event; it repeats itself under the same one.
    pub provider_event: String,
    /// What it tells us.
    pub notice: Notice,
    /// All of it, as it came. It may be about a person: seal it before it goes anywhere.
    pub body: String,
}

impl std::fmt::Debug for VerifiedWebhook {
    /// Without the body.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedWebhook")
            .field("provider_event", &self.provider_event)
            .field("notice", &self.notice)
            .finish_non_exhaustive()
    }
}

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// There is no signature.
    #[error("the webhook is not signed")]
    SignatureMissing,
    /// There is something else where a signature should be.
    #[error("the webhook's signature cannot be read")]
    SignatureMalformed,
    /// None of our secrets made any of its signatures, or its bytes are not those that were signed.
    #[error("the webhook's signature is not the provider's")]
    SignatureWrong,
    /// It was signed too long ago, and may be somebody's recording.
    #[error("the webhook was signed too long ago")]
    TooOld,
    /// It was signed in the future.
    #[error("the webhook was signed in the future: compare the clocks")]
    TooNew,
    /// The body is larger than any of the provider's.
    #[error("the webhook is too large")]
    TooLarge,
    /// The body is not JSON.
    #[error("the webhook is not JSON")]
    NotJson,
    /// The body is JSON that the provider does not send.
    #[error("the webhook has another shape than the provider's")]
    UnknownShape,
}

impl WebhookRefusal {
    /// Its stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::SignatureMissing => "webhook_signature_missing",
            Self::SignatureMalformed => "webhook_signature_malformed",
            Self::SignatureWrong => "webhook_signature_wrong",
            Self::TooOld => "webhook_too_old",
            Self::TooNew => "webhook_too_new",
            Self::TooLarge => "webhook_too_large",
            Self::NotJson => "webhook_not_json",
            Self::UnknownShape => "webhook_unknown_shape",
        }
    }
}
