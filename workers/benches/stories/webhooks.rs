//! Takes webhooks as the gateway does: verified on the raw bytes, answered 2xx once the receipt is appended.

use std::sync::Arc;

use commands::{
    Actor, Executor, Request,
    receipt::{Receipt, ReceiptCommand},
};
use events::{
    Timestamp,
    envelope::CommandHash,
    ids::{CommandId, ReceiptId},
};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use workers::payments::PaymentProvider;

/// Until the process ends.
pub(super) async fn hear(listener: TcpListener, executor: Executor, provider: Arc<dyn PaymentProvider>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let (executor, provider) = (executor.clone(), Arc::clone(&provider));
        let answer = service_fn(move |request: http::Request<Incoming>| {
            let (executor, provider) = (executor.clone(), Arc::clone(&provider));
            async move { take(request, &executor, provider.as_ref()).await }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn take(
    request: http::Request<Incoming>,
    executor: &Executor,
    provider: &dyn PaymentProvider,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let signature = head.headers.get(provider.signature_header()).map(|value| value.to_str().unwrap());
    let webhook = provider.read_webhook(signature, &body, Timestamp::now()).unwrap();
    let provider = provider.name().to_owned();
    let receipt = ReceiptId::of(&provider, &webhook.provider_event);
    let (event, notice) = (webhook.provider_event, webhook.notice);
    let recorded = executor.execute(Request::<Receipt> {
        id: receipt,
        command: ReceiptCommand::Record { provider, event, notice, body: None },
        command_id: CommandId::fresh(),
        command_hash: CommandHash([2; 16]),
        actor: Actor::System,
        expected: None,
        correlation_id: "a-webhook".to_owned(),
        causation_id: None,
        traceparent: None,
    });
    let mut response = Response::new(Full::default());
    if recorded.await.is_err() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}
