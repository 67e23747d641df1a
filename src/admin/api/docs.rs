//! The OpenAPI document, made from the handlers' types, and a page that shows it: `/api/v1/openapi.json`
//! and `/docs`. Nothing is loaded from elsewhere.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, PathItem};

use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{MEDIA_TYPE, Problem};
use crate::admin::AdminState;

const PAGE: &str = include_str!("docs/index.html");
const SCRIPT: &str = include_str!("docs/docs.js");
const STYLE: &str = include_str!("docs/docs.css");
/// What the page may load and ask: itself.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Operations whose body may be left out.
const MAY_BE_EMPTY: [&str; 2] = ["resume", "rotate_key"];

/// The document before its paths.
pub fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("trading-engine admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "What the venue is and does, for its own people. Every write is a batch of commands in the \
             venue's log with a note of who asked, and is answered when that is durable. Problems are \
             application/problem+json. Books and instruments are for everybody (`public`), the rest needs \
             a token. Roles: viewer, trader-support, risk, operator; each may do what \
             those before it may.",
        ));
    OpenApiBuilder::new().info(info.build()).build()
}

/// Adds what all operations have in common: the token, and what can go wrong.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::new);
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme("bearer", bearer);
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            add_problems(operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

fn add_problems(operation: &mut Operation) {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    if MAY_BE_EMPTY.contains(&id)
        && let Some(RefOr::T(body)) = operation.request_body.as_mut()
    {
        body.required = Some(Required::False);
    }
    let has_body = operation.request_body.is_some();
    let is_guarded = operation.security.is_some();
    let parameters = operation.parameters.iter().flatten();
    let places: Vec<_> = parameters
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter.parameter_in.clone()),
            RefOr::Ref(_) => None,
        })
        .collect();
    use utoipa::openapi::path::ParameterIn;
    let in_path = places.contains(&ParameterIn::Path);
    let in_query = places.contains(&ParameterIn::Query);
    let in_header = places.contains(&ParameterIn::Header);
    let is_write = has_body || !is_get(operation);
    let possible = [
        (400, has_body || in_query, "It cannot be read."),
        (
            401,
            is_guarded || is_write,
            "No valid token, or a wrong password.",
        ),
        (403, is_guarded, "The role is not enough."),
        (
            404,
            in_path || in_query || is_write,
            "There is no such thing.",
        ),
        (408, has_body, "The body did not come in time."),
        (409, is_write, "Not as things are; `reason` says why."),
        (412, in_header, "It was changed since it was read."),
        (413, has_body, "The body is too long."),
        (415, has_body, "The body is not JSON."),
        (422, is_write, "It says something that cannot be."),
        (
            429,
            is_guarded || is_write,
            "Too many requests; `Retry-After` says when.",
        ),
        (500, true, "The venue could not do it."),
        (
            503,
            true,
            "Not now: starting, or something it needs is away.",
        ),
        (504, true, "Asked for, and not known to be done."),
    ];
    for (status, applies, description) in possible {
        let status = status.to_string();
        if applies && !operation.responses.responses.contains_key(&status) {
            let schema = Ref::from_schema_name(Problem::name());
            let content = ContentBuilder::new().schema(Some(schema)).build();
            let response = ResponseBuilder::new()
                .description(description)
                .content(MEDIA_TYPE, content);
            operation
                .responses
                .responses
                .insert(status, RefOr::T(response.build()));
        }
    }
}

/// Reads are those that answer without doing anything; their operation ids say so.
fn is_get(operation: &Operation) -> bool {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    id.starts_with("list_") || id.starts_with("show_")
}

/// The document and the page.
pub fn routes(document: &OpenApi) -> Router<AdminState> {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    without_signs(&mut document);
    // Once, for the life of the program.
    let text: &'static str = Box::leak(document.to_string().into_boxed_str());
    let fixed = |media: &'static str, text: &'static str| {
        get(move || std::future::ready(plain(media, text)))
    };
    Router::new()
        .route("/api/v1/openapi.json", fixed("application/json", text))
        .route("/docs", get(|| std::future::ready(page())))
        .route(
            "/docs/docs.js",
            fixed("text/javascript; charset=utf-8", SCRIPT),
        )
        .route("/docs/docs.css", fixed("text/css; charset=utf-8", STYLE))
}

/// Takes the formats away that say numbers are signed: ours are not, and the formats of OpenAPI have no
/// others.
fn without_signs(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            let format = fields.get("format").and_then(serde_json::Value::as_str);
            if matches!(format, Some("int32" | "int64")) {
                fields.remove("format");
            }
            fields.values_mut().for_each(without_signs);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_signs),
        _ => {}
    }
}

fn plain(media: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media)], text).into_response()
}

fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
    ];
    (headers, PAGE).into_response()
}
