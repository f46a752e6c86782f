//! Webhooks: each event is sent until it is answered 2xx, within bounds, and in the disorder that was asked for.

pub(crate) mod courier;
pub(crate) mod disorder;
pub(crate) mod postman;
