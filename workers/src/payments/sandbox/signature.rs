//! How the sandbox's webhooks prove whose they are: HMAC-SHA256 over the timestamp, a dot and the raw body.

use aws_lc_rs::{constant_time, hmac};
use data_encoding::HEXLOWER;
use events::Timestamp;

use crate::payments::WebhookRefusal;

/// The header that carries timestamp and signatures.
pub(super) const HEADER: &str = "sandbox-signature";
/// A webhook is believed for so long around the time it was signed at.
const TOLERANCE_MS: i64 = 300_000;
/// Larger than any webhook of the sandbox. Bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A longer header is not read.
const HEADER_BYTES_MAX: usize = 1024;
/// Signatures that are looked at, at most.
const SIGNATURES_MAX: usize = 4;

/// Nothing when one of `secrets` made one of the signatures in `header` over these very bytes, just now.
pub(super) fn verify<'a>(
    secrets: impl Iterator<Item = &'a [u8]>,
    header: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), WebhookRefusal> {
    if body.len() > BODY_BYTES_MAX {
        return Err(WebhookRefusal::TooLarge);
    }
    let signed = Signed::read(header.ok_or(WebhookRefusal::SignatureMissing)?)?;
    if !signed.is_by_one_of(secrets, body) {
        return Err(WebhookRefusal::SignatureWrong);
    }
    // Only now is the time the provider's own.
    let age_ms = now.millis_since(signed.at);
    if age_ms > TOLERANCE_MS {
        return Err(WebhookRefusal::TooOld);
    }
    if age_ms < -TOLERANCE_MS {
        return Err(WebhookRefusal::TooNew);
    }
    Ok(())
}

/// The header, read.
struct Signed<'a> {
    /// The timestamp as it was signed.
    timestamp: &'a str,
    at: Timestamp,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Signed<'a> {
    fn read(header: &'a str) -> Result<Self, WebhookRefusal> {
        let malformed = WebhookRefusal::SignatureMalformed;
        if header.len() > HEADER_BYTES_MAX {
            return Err(malformed);
        }
        let (mut timestamp, mut signatures) = (None, Vec::new());
        for part in header.split(',') {
            match part.trim().split_once('=') {
                Some(("t", _)) if timestamp.is_some() => return Err(malformed),
                Some(("t", seconds)) => timestamp = Some(seconds),
                Some(("v1", _)) if signatures.len() == SIGNATURES_MAX => return Err(malformed),
                Some(("v1", signature)) => {
                    signatures.push(HEXLOWER.decode(signature.as_bytes()).map_err(|_| malformed)?);
                }
                // A way of signing that we do not know.
                Some(_) => {}
                None => return Err(malformed),
            }
        }
        let timestamp = timestamp.ok_or(malformed)?;
        let seconds: i64 = timestamp.parse().map_err(|_| malformed)?;
        let micros = seconds.checked_mul(1_000_000).ok_or(malformed)?;
        if signatures.is_empty() {
            return Err(malformed);
        }
        Ok(Self { timestamp, at: Timestamp::from_micros(micros), signatures })
    }

    /// Compared in constant time, so that nobody learns a signature byte by byte.
    fn is_by_one_of<'s>(&self, secrets: impl Iterator<Item = &'s [u8]>, body: &[u8]) -> bool {
        let mut found = false;
        for secret in secrets {
            let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
            context.update(self.timestamp.as_bytes());
            context.update(b".");
            context.update(body);
            let ours = context.sign();
            for theirs in &self.signatures {
                found |= constant_time::verify_slices_are_equal(ours.as_ref(), theirs).is_ok();
            }
        }
        found
    }
}
