//! HTTP: three addresses, one check before each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use house_status::HouseStatus;
use layout::Layout;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use crate::{host, page};

/// How long an answer of the daemons is shown again: a browser that reloads costs them nothing.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// How long each daemon may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long open connections may finish after the end was asked for.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// Nothing from elsewhere, no script, no frame around it.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; script-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What was asked.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests.
    pub requests: AtomicU64,
    /// Requests whose `Host` was not ours.
    pub refused: AtomicU64,
}

#[derive(Clone)]
struct Shared {
    layout: Layout,
    address: SocketAddr,
    counts: Arc<Counts>,
    last: Arc<Mutex<Option<(Instant, HouseStatus)>>>,
}

/// Serves until SIGTERM or SIGINT; calls `asked_to_reload` at each SIGHUP.
pub async fn serve(
    listener: TcpListener,
    layout: Layout,
    address: SocketAddr,
    counts: Arc<Counts>,
    asked_to_reload: impl Fn(),
) -> std::io::Result<()> {
    let shared = Shared { layout, address, counts, last: Arc::new(Mutex::new(None)) };
    let router = Router::new()
        .route("/", get(show_page))
        .route("/status.json", get(show_json))
        .route("/style.css", get(show_style))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    let (end, mut ended) = tokio::sync::watch::channel(false);
    let asked = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        let _ = end.send(true);
    };
    let serving =
        axum::serve(crate::connections::Bounded::new(listener), router).with_graceful_shutdown(asked);
    let late = async move {
        let _ = ended.wait_for(|ended| *ended).await;
        tokio::time::sleep(END_PATIENCE).await;
    };
    let hang_ups = async move {
        while hang_up.recv().await.is_some() {
            asked_to_reload();
        }
        std::future::pending::<()>().await
    };
    // A browser keeps connections open; they do not keep us.
    tokio::select! { result = serving.into_future() => result, () = late => Ok(()), () = hang_ups => Ok(()) }
}

async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    shared.counts.requests.fetch_add(1, Ordering::Relaxed);
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let mut response = if host.is_some_and(|host| host::is_ours(host, shared.address.port())) {
        next.run(request).await
    } else {
        shared.counts.refused.fetch_add(1, Ordering::Relaxed);
        let text = format!("This page answers only to its own name: http://{}/\n", shared.address);
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn show_page(State(shared): State<Shared>) -> Response {
    match look(&shared).await {
        Some(house) => {
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page::page(&house).into_string())
                .into_response()
        }
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn show_json(State(shared): State<Shared>) -> Response {
    match look(&shared).await.and_then(|house| serde_json::to_string(&house).ok()) {
        Some(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn show_style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE).into_response()
}

/// Asks the daemons, or takes the last answer while it is fresh.
async fn look(shared: &Shared) -> Option<HouseStatus> {
    let mut last = shared.last.lock().await;
    if let Some((at, house)) = last.as_ref()
        && at.elapsed() < KEPT_FOR
    {
        return Some(house.clone());
    }
    let layout = shared.layout.clone();
    let house = tokio::task::spawn_blocking(move || house_status::look(&layout, PATIENCE)).await.ok()?;
    *last = Some((Instant::now(), house.clone()));
    Some(house)
}
