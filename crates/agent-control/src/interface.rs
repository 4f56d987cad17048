//! The interface `io.agentd.Control` in Varlink's interface language, and the parameters of its methods.

use serde::{Deserialize, Serialize};
use zlink::idl::{Comment, CustomType, Interface, Method, Parameter};
use zlink::introspect::{CustomType as _, ReplyError as _, Type};
use zlink::names::{InterfaceName, TypeName};

use crate::refusal::Refusal;
use crate::wire::{
    AnchorReport, AnchorsReport, AttemptReport, BanReport, BundleReport, DaemonReport, Event, Fault,
    GenerationReport, GenerationSource, Health, Held, HistoryReport, InventoryReport, LastRegeneration,
    ManagementReport, Place, Problem, RefreshReport, RegenReport, Rejected, RetainedReport, RollbackReport,
    SandboxReport, ServerReport, Severity, SourceReport, SourcesReport, StatusReport, StoreReport, Warning,
    WatchingReport,
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
        "Metrics",
        &[],
        fields::<MetricsReply>(),
        &[&Comment::new("The status as metrics, in the text format of Prometheus")],
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
        "History",
        &[],
        fields::<HistoryReply>(),
        &[&Comment::new("The generations of the store that are kept, the latest first")],
    ),
    &method(
        "Generation",
        fields::<GenerationParams>(),
        fields::<AnchorsReply>(),
        &[&Comment::new("The anchors of one generation, in its order")],
    ),
    &method(
        "Rollback",
        fields::<RollbackParams>(),
        fields::<RegenerateReply>(),
        &[
            &Comment::new(
                "Go back to the anchors of an earlier generation, as a new one; for root and the daemon's",
            ),
            &Comment::new("own user, as all that change trust"),
        ],
    ),
    &method(
        "Distrust",
        fields::<DistrustParams>(),
        fields::<RegenerateReply>(),
        &[&Comment::new("Never let this certificate into the store again")],
    ),
    &method(
        "Trust",
        fields::<TrustParams>(),
        fields::<RegenerateReply>(),
        &[&Comment::new("Take back a Distrust")],
    ),
    &method(
        "Refresh",
        fields::<RefreshParams>(),
        fields::<RefreshReply>(),
        &[
            &Comment::new("Ask the management servers for their policies now, and regenerate"),
            &Comment::new("For root and the daemon's own user"),
        ],
    ),
    &method(
        "Inventory",
        fields::<InventoryParams>(),
        fields::<InventoryReply>(),
        &[
            &Comment::new("Tell the management servers how this endpoint is, now"),
            &Comment::new("For root and the daemon's own user"),
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
    SandboxReport::CUSTOM_TYPE,
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
    ManagementReport::CUSTOM_TYPE,
    RefreshReport::CUSTOM_TYPE,
    InventoryReport::CUSTOM_TYPE,
    AttemptReport::CUSTOM_TYPE,
    Place::CUSTOM_TYPE,
    Event::CUSTOM_TYPE,
    HistoryReport::CUSTOM_TYPE,
    GenerationReport::CUSTOM_TYPE,
    GenerationSource::CUSTOM_TYPE,
    RetainedReport::CUSTOM_TYPE,
    RollbackReport::CUSTOM_TYPE,
    BanReport::CUSTOM_TYPE,
];

/// Parameters of `Regenerate`. An unknown one is refused: a misspelt `dry_run` must not become a real run.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegenerateParams {
    /// Write what the sources hold, even no anchor: the guard keeps nothing, a rollback ends
    pub(crate) force: Option<bool>,
    /// Only say what would be done
    pub(crate) dry_run: Option<bool>,
}

/// Parameters of `Generation`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerationParams {
    /// Its number
    pub(crate) number: u64,
}

/// Parameters of `Rollback`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackParams {
    /// The generation to go back to; without it the one before the present one
    pub(crate) generation: Option<u64>,
    /// For so long a change of a source does not end it; without it the next change does
    pub(crate) pin_seconds: Option<u64>,
    /// Only say what would be done
    pub(crate) dry_run: Option<bool>,
}

/// Parameters of `Distrust`.
#[derive(Debug, Clone, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub(crate) struct DistrustParams {
    /// SHA-256 of the certificate
    pub(crate) fingerprint: String,
    /// Why, for the record
    pub(crate) reason: Option<String>,
    /// Only say what would be done
    pub(crate) dry_run: Option<bool>,
}

/// Parameters of `Trust`.
#[derive(Debug, Clone, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustParams {
    /// SHA-256 of the certificate
    pub(crate) fingerprint: String,
    /// Only say what would be done
    pub(crate) dry_run: Option<bool>,
}

/// Parameters of `Refresh`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshParams {
    /// Take lower versions of policies too
    pub(crate) allow_downgrade: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct RefreshReply {
    pub(crate) report: RefreshReport,
}

/// Parameters of `Inventory`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, Type)]
#[serde(deny_unknown_fields)]
pub(crate) struct InventoryParams {
    /// Only make the document, and send nothing
    pub(crate) only_make: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct InventoryReply {
    pub(crate) report: InventoryReport,
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
pub(crate) struct MetricsReply {
    /// Lines for Prometheus
    pub(crate) text: String,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct RegenerateReply {
    pub(crate) report: RegenReport,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct HistoryReply {
    pub(crate) history: HistoryReport,
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
