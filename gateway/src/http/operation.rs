//! An operation: one route, declared once. The router and the OpenAPI document both come from it.

use std::{collections::BTreeSet, future::Future};

use axum::{handler::Handler, routing::MethodRouter};
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Code, Problem};
use crate::app::App;

/// Makes a type's schema, into the document's definitions.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a route is, as its documentation says it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for its parameters.
    pub path: &'static str,
    /// Its name for programs, unique: `createJob`.
    pub id: &'static str,
    /// The resource it belongs to.
    pub tag: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Path and query parameters, as objects whose properties they are.
    pub parameters: Vec<(&'static str, SchemaOf)>,
    /// Headers it heeds, with what they mean.
    pub request_headers: Vec<(&'static str, &'static str)>,
    /// Those of them without which it is refused.
    pub required_headers: Vec<&'static str>,
    /// Its body.
    pub body: Option<SchemaOf>,
    /// Its answer when all went well: status, content type, body.
    pub success: (u16, &'static str, Option<SchemaOf>),
    /// Headers of that answer, with what they mean.
    pub answer_headers: Vec<(&'static str, &'static str)>,
    /// What can go wrong, of the gateway's own codes. Rejections of the rules come beside these.
    pub problems: BTreeSet<Code>,
    /// Statuses with which the rules may refuse.
    pub rejections: BTreeSet<u16>,
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Everybody; a token lets one see more.
    Optional,
    /// Whoever is logged in, or a service.
    Bearer,
    /// Operators and administrators, or a service with such a role.
    Operator,
}

/// One operation with its handler.
pub struct Route {
    pub(crate) operation: Operation,
    pub(crate) handler: MethodRouter<App>,
}

impl Route {
    /// With its name for programs and its line for people.
    #[must_use]
    pub fn named(mut self, id: &'static str, summary: &'static str) -> Self {
        self.operation.id = id;
        self.operation.summary = summary;
        self
    }

    /// What else can go wrong here.
    #[must_use]
    pub fn problems(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        self.operation.problems.extend(codes);
        self
    }

    /// The rules of the marketplace may refuse it.
    #[must_use]
    pub fn rejects(mut self) -> Self {
        self.operation.rejections.extend([403, 404, 409, 422]);
        self
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.operation.fmt(f)
    }
}

/// What a handler takes: says what it reads from the request.
pub trait Input {
    /// Adds what it reads, and what can go wrong with it.
    fn describe(operation: &mut Operation);
}

/// What a handler answers.
pub trait Output {
    /// Adds what it answers.
    fn describe(operation: &mut Operation);
}

impl<T: Output> Output for Result<T, Problem> {
    fn describe(operation: &mut Operation) {
        T::describe(operation);
    }
}

impl<S> Input for axum::extract::State<S> {
    fn describe(_: &mut Operation) {}
}

/// A handler whose inputs and output describe themselves.
pub trait Described<I, O> {
    /// Adds what the handler reads and answers.
    fn describe(operation: &mut Operation);
}

macro_rules! described {
    ($($input:ident),*) => {
        impl<F, R, O, $($input),*> Described<($($input,)*), O> for F
        where
            F: Fn($($input),*) -> R,
            R: Future<Output = O>,
            O: Output,
            $($input: Input),*
        {
            fn describe(operation: &mut Operation) {
                $($input::describe(operation);)*
                O::describe(operation);
            }
        }
    };
}

described!();
described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);
described!(A, B, C, D, E);
described!(A, B, C, D, E, G);

/// `GET path`.
pub fn get<H, T, I, O>(path: &'static str, handler: H) -> Route
where
    H: Handler<T, App> + Described<I, O>,
    T: 'static,
{
    route(Method::GET, path, axum::routing::get(handler), H::describe)
}

/// `POST path`.
pub fn post<H, T, I, O>(path: &'static str, handler: H) -> Route
where
    H: Handler<T, App> + Described<I, O>,
    T: 'static,
{
    route(Method::POST, path, axum::routing::post(handler), H::describe)
}

/// `PATCH path`.
pub fn patch<H, T, I, O>(path: &'static str, handler: H) -> Route
where
    H: Handler<T, App> + Described<I, O>,
    T: 'static,
{
    route(Method::PATCH, path, axum::routing::patch(handler), H::describe)
}

/// `DELETE path`.
pub fn delete<H, T, I, O>(path: &'static str, handler: H) -> Route
where
    H: Handler<T, App> + Described<I, O>,
    T: 'static,
{
    route(Method::DELETE, path, axum::routing::delete(handler), H::describe)
}

fn route(
    method: Method,
    path: &'static str,
    handler: MethodRouter<App>,
    describe: fn(&mut Operation),
) -> Route {
    let mut operation = Operation {
        method,
        path,
        id: "",
        tag: tag_of(path),
        summary: "",
        access: Access::Public,
        parameters: Vec::new(),
        request_headers: Vec::new(),
        required_headers: Vec::new(),
        body: None,
        success: (200, "application/json", None),
        answer_headers: Vec::new(),
        problems: BTreeSet::from([Code::Internal, Code::Timeout]),
        rejections: BTreeSet::new(),
    };
    describe(&mut operation);
    Route { operation, handler }
}

/// The first part of the path that names a resource.
fn tag_of(path: &'static str) -> &'static str {
    let path = path.strip_prefix("/api/v1/").or_else(|| path.strip_prefix('/')).unwrap_or(path);
    path.split('/').next().unwrap_or(path)
}

/// The schema of `T`, as an operation refers to it.
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
