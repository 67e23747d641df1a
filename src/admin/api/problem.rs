//! What goes wrong, as RFC 9457 has it: every answer that is no success is `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use trading_engine_protocol::types::Reason;
use utoipa::ToSchema;

use crate::admin::desk::{DeskError, Outcome};

/// Media type of every problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not answered as asked.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the title says what it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong with this request.
    #[schema(value_type = String)]
    detail: Box<str>,
    /// The venue's reason, by its name, when the core refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<Box<str>>,
    /// Position in the log of what was asked, when it was sequenced all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

/// Answers of the API.
pub type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// A problem in words.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            detail: detail.into().into_boxed_str(),
            reason: None,
            sequence: None,
            retry_after: None,
        }
    }

    /// There is no such thing.
    pub fn missing(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// It says something that cannot be.
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, why)
    }

    /// It cannot be done as things are.
    pub fn conflict(why: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, why)
    }

    /// It cannot be done now.
    pub fn unavailable(why: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, why);
        problem.retry_after = Some(1);
        problem
    }

    /// There were too many requests.
    pub fn too_many(why: impl Into<String>, retry_after_seconds: u64) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, why);
        problem.retry_after = Some(retry_after_seconds.max(1));
        problem
    }

    /// The core refused.
    pub fn refused(reason: Reason, outcome: &Outcome) -> Self {
        let status = match reason {
            Reason::UnknownInstrument | Reason::UnknownSession | Reason::UnknownTrade => {
                StatusCode::NOT_FOUND
            }
            Reason::InvalidDefinition => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        let mut problem = Self::new(status, reason.text());
        problem.reason = Some(format!("{reason:?}").into_boxed_str());
        problem.sequence = Some(outcome.sequence.0);
        problem
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Busy => Self::unavailable("too much is waiting for the log"),
            DeskError::Failed => Self::unavailable("the log has failed; nothing is taken any more"),
            DeskError::Late => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "it was asked for and is not known to be durable yet; the audit will say",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"trading-engine\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The outcome, unless the core refused.
pub fn accepted(outcome: Outcome) -> Result<Outcome> {
    match outcome.refusal() {
        Some(reason) => Err(Problem::refused(reason, &outcome)),
        None => Ok(outcome),
    }
}
