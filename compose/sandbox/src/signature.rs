//! How webhooks are signed: HMAC-SHA256 over the timestamp, a dot and the raw body.
//!
//! The header [`HEADER`] is `t=<seconds since 1970>,v1=<hexadecimal>`, with one `v1` per secret: during a rotation a receiver
//! that knows either secret finds one that fits. The timestamp is real time, whatever the sandbox's clock says, and fresh at
//! every attempt.

use std::fmt::Write;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

/// The header that carries timestamp and signatures.
pub const HEADER: &str = "sandbox-signature";

/// The header's value for a body that is sent at `timestamp_s` seconds since 1970.
pub fn sign<'a>(secrets: impl IntoIterator<Item = &'a [u8]>, timestamp_s: i64, body: &[u8]) -> String {
    let mut header = format!("t={timestamp_s}");
    for secret in secrets {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
        context.update(timestamp_s.to_string().as_bytes());
        context.update(b".");
        context.update(body);
        let signature = HEXLOWER.encode(context.sign().as_ref());
        write!(header, ",v1={signature}").expect("a String takes everything");
    }
    header
}
