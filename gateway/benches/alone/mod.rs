//! A gateway without anything that runs by itself.

use std::net::SocketAddr;

use gateway::{
    app::App,
    house::House,
    routes, server,
    settings::{Layers, Origin, Settings},
};
use tokio::net::TcpListener;

/// The defaults, in this folder, on a free port.
pub fn layers(folder: &std::path::Path) -> Layers {
    let mut layers = Layers::defaults();
    layers.set("listen", "127.0.0.1:0", Origin::Given).expect("a known key");
    layers.set("data", folder.display().to_string(), Origin::Given).expect("a known key");
    layers
}

/// Serves a gateway for as long as the runtime lives: where, and what its handlers reach.
pub async fn serve(settings: Settings) -> (SocketAddr, App) {
    let app = House::open(settings).await.expect("the house opens").app.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = app.clone();
    tokio::spawn(async move {
        let http = served.settings.http.clone();
        server::serve(listener, routes::router(served), &http, std::future::pending()).await;
    });
    (address, app)
}
