//! HTTP requests to servers on this machine, for tests that are not asynchronous.

use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The response of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: String,
    /// The body.
    pub body: String,
}

/// Gets `url`. Works in and outside of a Tokio runtime.
///
/// # Errors
///
/// When the server does not answer within ten seconds.
pub fn get(url: &str) -> Result<Answer, String> {
    let work = || {
        // A provider that is already installed serves as well.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime
            .block_on(ask(url))
            .map_err(|error| format!("{error:?}"))
    };
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn ask(url: &str) -> Result<Answer, reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()?;
    let response = client.get(url).send().await?;
    let header = response.headers().get("content-type");
    let content_type = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    Ok(Answer {
        status: response.status().as_u16(),
        content_type,
        body: response.text().await?,
    })
}
