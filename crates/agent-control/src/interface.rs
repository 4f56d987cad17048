//! The interface `io.agentd.Control` in Varlink's interface language, and the parameters of its methods.

use serde::{Deserialize, Serialize};
use zlink::idl::{Comment, CustomType, Interface, Method, Parameter};
use zlink::introspect::{CustomType as _, ReplyError as _, Type};
use zlink::names::{InterfaceName, TypeName};

use crate::refusal::Refusal;
use crate::wire::{
    AnchorReport, AnchorsReport, BundleReport, DaemonReport, Event, Fault, Health, Held, LastRegeneration,
    Place, Problem, RegenReport, Rejected, ServerReport, Severity, SourceReport, SourcesReport, StatusReport,
    StoreReport, Warning, WatchingReport,
};

mod text;

pub use text::text;

/// Name of the interface.
pub const NAME: &str = "io.agentd.Control";

/// The description that `GetInterfaceDescription` answers with.
pub const DESCRIPTION: &Interface<'static> = &Interface::new(
    InterfaceName::from_static_str_unchecked(NAME),
    METHODS,
    TYPES,
    Refusal::VARIANTS,
    &[&Comment::new("Read and steer agentd, the keeper of this endpoint's trust store")],
);

const METHODS: &[&Method<'static>] = &[
    &method(
        "Status",
        &[],
        fields::<StatusReply>(),
        &[&Comment::new("The daemon, the store, and what needs a hand")],
    ),
    &method(
        "Sources",
        &[],
        fields::<SourcesReply>(),
        &[&Comment::new("The sources as they were last looked at")],
    ),
    &method(
        "Anchors",
        &[],
        fields::<AnchorsReply>(),
        &[&Comment::new("The anchors of the store in the order of trial")],
    ),
    &method(
        "Regenerate",
        fields::<RegenerateParams>(),
        fields::<RegenerateReply>(),
        &[
            &Comment::new("Look at the sources now and publish if they changed"),
            &Comment::new("For root and the daemon's own user; at most one a second after the first few,"),
            &Comment::new("and callers that wait for the same share one run"),
        ],
    ),
    &method(
        "Watch",
        &[],
        fields::<WatchReply>(),
        &[
            &Comment::new("Tell what happens until the caller closes; call it with 'more'"),
            &Comment::new("The first reply says that it has begun and has no event"),
        ],
    ),
];

/// Every type that a method or another type names.
const TYPES: &[&CustomType<'static>] = &[
    StatusReport::CUSTOM_TYPE,
    Health::CUSTOM_TYPE,
    DaemonReport::CUSTOM_TYPE,
    WatchingReport::CUSTOM_TYPE,
    StoreReport::CUSTOM_TYPE,
    ServerReport::CUSTOM_TYPE,
    Problem::CUSTOM_TYPE,
    Severity::CUSTOM_TYPE,
    LastRegeneration::CUSTOM_TYPE,
    RegenReport::CUSTOM_TYPE,
    BundleReport::CUSTOM_TYPE,
    SourceReport::CUSTOM_TYPE,
    Rejected::CUSTOM_TYPE,
    Fault::CUSTOM_TYPE,
    Warning::CUSTOM_TYPE,
    Held::CUSTOM_TYPE,
    SourcesReport::CUSTOM_TYPE,
    AnchorsReport::CUSTOM_TYPE,
    AnchorReport::CUSTOM_TYPE,
    Place::CUSTOM_TYPE,
    Event::CUSTOM_TYPE,
];

/// Parameters of `Regenerate`. An unknown one is refused: a misspelt `dry_run` must not become a real run.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegenerateParams {
    /// Write even where nothing changed, and even a store without anchors
    pub(crate) force: Option<bool>,
    /// Only say what would be done
    pub(crate) dry_run: Option<bool>,
}

/// Parameters of a method that takes none.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParams {}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct StatusReply {
    pub(crate) status: StatusReport,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct SourcesReply {
    pub(crate) sources: SourcesReport,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct AnchorsReply {
    pub(crate) anchors: AnchorsReport,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct RegenerateReply {
    pub(crate) report: RegenReport,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct WatchReply {
    /// What happened
    pub(crate) event: Option<Event>,
    /// How many events were dropped before it because the caller read too slowly
    pub(crate) lost: u64,
}

const fn method(
    name: &'static str,
    inputs: &'static [&'static Parameter<'static>],
    outputs: &'static [&'static Parameter<'static>],
    comments: &'static [&'static Comment<'static>],
) -> Method<'static> {
    Method::new(TypeName::from_static_str_unchecked(name), inputs, outputs, comments)
}

/// The fields of a struct as parameters.
const fn fields<T: Type>() -> &'static [&'static Parameter<'static>] {
    match T::TYPE.as_object() {
        Some(fields) => match fields.as_borrowed() {
            Some(fields) => fields,
            None => &[],
        },
        None => &[],
    }
}
