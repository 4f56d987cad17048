//! What one file says: each value checked by itself, none defaulted.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use trust_core::Fingerprint;
use url::Url;

use crate::error::{Error, Placed, Source};
use crate::layout::Layout;
use crate::schema;
use crate::section::{Section, kind};
use crate::settings::{InventoryForm, Level, LogFormat, Names, Pin, Role, TlsVersion};
use crate::values;

/// What one configuration file says. The default value is that of an empty file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    pub(crate) source: Source,
    pub(crate) layout: Option<Placed<Layout>>,
    pub(crate) bootstrap: Option<Placed<PathBuf>>,
    pub(crate) site: Option<Placed<PathBuf>>,
    pub(crate) merged: Option<Placed<PathBuf>>,
    pub(crate) policies: Option<Placed<PathBuf>>,
    pub(crate) state: Option<Placed<PathBuf>>,
    pub(crate) socket: Option<Placed<PathBuf>>,
    pub(crate) allow_owner: Option<Vec<u64>>,
    pub(crate) trusted_paths: Option<Vec<PathBuf>>,
    pub(crate) max_bytes: Option<Placed<u64>>,
    pub(crate) max_certificates: Option<Placed<u64>>,
    pub(crate) poll_interval: Option<Placed<Duration>>,
    pub(crate) degraded_poll_interval: Option<Placed<Duration>>,
    pub(crate) settle: Option<Placed<Duration>>,
    pub(crate) allow_policy_to_skip_host: Option<Placed<bool>>,
    pub(crate) allow_policy_to_skip_peer: Option<Placed<bool>>,
    pub(crate) minimum_tls: Option<Placed<TlsVersion>>,
    pub(crate) distrusted: Option<Vec<Fingerprint>>,
    pub(crate) guard: Option<Placed<bool>>,
    pub(crate) retain_for: Option<Placed<Option<Duration>>>,
    pub(crate) archive: Option<Placed<bool>>,
    pub(crate) generations: Option<Placed<u64>>,
    pub(crate) max_age: Option<Placed<Duration>>,
    pub(crate) level: Option<Placed<Level>>,
    pub(crate) format: Option<Placed<LogFormat>>,
    pub(crate) textfile: Option<Placed<Option<PathBuf>>>,
    pub(crate) timeout: Option<Placed<Duration>>,
    pub(crate) first_byte_timeout: Option<Placed<Duration>>,
    pub(crate) body_timeout: Option<Placed<Duration>>,
    pub(crate) check_interval: Option<Placed<Duration>>,
    pub(crate) proxy: Option<Placed<Option<Url>>>,
    pub(crate) proxy_credentials: Option<Placed<Option<PathBuf>>>,
    pub(crate) no_proxy: Option<Vec<String>>,
    pub(crate) index: Option<Placed<Option<String>>>,
    pub(crate) refresh_interval: Option<Placed<Duration>>,
    pub(crate) longest_pause: Option<Placed<Duration>>,
    pub(crate) anchors: Option<Placed<PathBuf>>,
    pub(crate) inventory_path: Option<Placed<Option<String>>>,
    pub(crate) inventory_interval: Option<Placed<Duration>>,
    pub(crate) inventory_form: Option<Placed<InventoryForm>>,
    pub(crate) servers: Vec<ServerInput>,
}

/// One `[[server]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerInput {
    pub(crate) name: Option<Placed<String>>,
    pub(crate) url: Placed<Url>,
    pub(crate) names: Option<Placed<Names>>,
    pub(crate) pin: Option<Placed<Pin>>,
    pub(crate) role: Option<Placed<Role>>,
    pub(crate) favourite: Option<Placed<bool>>,
    pub(crate) ranges: Option<Vec<String>>,
    pub(crate) priority: Option<Placed<u64>>,
}

/// Reads the text of a configuration file; `name` is for the errors.
///
/// # Errors
/// The first thing that is wrong: no TOML, an unknown section or key, a value that is none of its kind.
pub fn parse(text: &str, name: &Path) -> Result<Fragment, Error> {
    let source = Source::new(name, text);
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().unwrap_or(text.len()..text.len());
        source.error(&at, format!("not TOML: {}", error.message()))
    })?;
    let mut entries: Vec<_> = document.into_inner().into_iter().collect();
    // In the order of the file, so that the first error is the first in the file.
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut fragment = Fragment::default();
    for (key, value) in entries {
        let known =
            schema::SECTIONS.iter().map(|&(section, _)| section).find(|section| section == key.get_ref());
        let Some(section) = known else {
            let word = if value.get_ref().is_table() { "section" } else { "key" };
            let message = format!("unknown {word} \"{}\"", key.get_ref().escape_debug());
            return Err(source.error(&key.span(), message).hint(schema::hint(None, key.get_ref())));
        };
        for table in tables(&source, section, value)? {
            let at = table.span();
            fragment.take(Section::new(&source, section, at, table.into_inner())?, section)?;
        }
    }
    Ok(Fragment { source, ..fragment })
}

/// The table of a section, or the tables of the list of them.
fn tables<'t>(
    source: &Source,
    section: &'static str,
    value: Spanned<DeValue<'t>>,
) -> Result<Vec<Spanned<DeTable<'t>>>, Error> {
    let at = value.span();
    match value.into_inner() {
        DeValue::Array(items) if section == schema::LIST => {
            items.into_iter().map(|item| table(source, section, item)).collect()
        }
        other if section == schema::LIST => Err(no_section(source, section, &at, &other)),
        other => Ok(vec![table(source, section, Spanned::new(at, other))?]),
    }
}

fn table<'t>(
    source: &Source,
    section: &'static str,
    value: Spanned<DeValue<'t>>,
) -> Result<Spanned<DeTable<'t>>, Error> {
    let at = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(at, table)),
        other => Err(no_section(source, section, &at, &other)),
    }
}

fn no_section(source: &Source, section: &'static str, at: &Range<usize>, value: &DeValue<'_>) -> Error {
    let header = schema::header(section);
    source
        .error(at, format!("{header} must be a section, not {}", kind(value)))
        .hint(Some(format!("write {header}")))
}

impl Fragment {
    fn take(&mut self, mut section: Section<'_, '_>, name: &str) -> Result<(), Error> {
        let section = &mut section;
        match name {
            "store" => self.store(section),
            "control" => self.control(section),
            "sources" => self.sources(section),
            "watch" => self.watch(section),
            "security" => self.security(section),
            "distrust" => self.distrust(section),
            "guard" => self.guard(section),
            "history" => self.history(section),
            "log" => self.log(section),
            "metrics" => self.metrics(section),
            "connect" => self.connect(section),
            "proxy" => self.proxy(section),
            "refresh" => self.refresh(section),
            "inventory" => self.inventory(section),
            _ => self.server(section),
        }
    }

    fn store(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.layout = section.word("layout", &[("default", Layout::Default), ("smp", Layout::Smp)])?;
        self.bootstrap = section.text("bootstrap", PATH, values::path)?;
        self.site = section.text("site", PATH, values::path)?;
        self.merged = section.text("merged", PATH, values::path)?;
        self.policies = section.text("policies", PATH, values::path)?;
        self.state = section.text("state", PATH, values::path)?;
        Ok(())
    }

    fn control(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.socket = section.text("socket", PATH, values::path)?;
        Ok(())
    }

    fn sources(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.allow_owner = section.numbers("allow-owner", &USER_IDS)?;
        self.trusted_paths = section.texts("trusted-paths", PATH, values::path)?;
        self.max_bytes = section.number("max-bytes", &MAX_BYTES)?;
        self.max_certificates = section.number("max-certificates", &MAX_CERTIFICATES)?;
        Ok(())
    }

    fn watch(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.poll_interval = section.text("poll-interval", DURATION, values::duration(POLL))?;
        self.degraded_poll_interval =
            section.text("degraded-poll-interval", DURATION, values::duration(POLL))?;
        self.settle = section.text("settle", DURATION, values::duration(SETTLE))?;
        Ok(())
    }

    fn security(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.allow_policy_to_skip_host = section.boolean("allow-policy-to-skip-host")?;
        self.allow_policy_to_skip_peer = section.boolean("allow-policy-to-skip-peer")?;
        self.minimum_tls =
            section.word("minimum-tls", &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)])?;
        Ok(())
    }

    fn distrust(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.distrusted =
            section.texts("fingerprints", "SHA-256 fingerprints in quotes", values::fingerprint)?;
        Ok(())
    }

    fn guard(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.guard = section.boolean("enabled")?;
        self.retain_for = section.text("retain-for", DURATION, values::limit(LONG))?;
        self.archive = section.boolean("archive")?;
        Ok(())
    }

    fn history(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.generations = section.number("generations", &GENERATIONS)?;
        self.max_age = section.text("max-age", DURATION, values::duration(LONG))?;
        Ok(())
    }

    fn log(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.level = section.word("level", LEVELS)?;
        self.format = section.word("format", FORMATS)?;
        Ok(())
    }

    fn metrics(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.textfile = section.text("textfile", PATH, values::no_path_or_one)?;
        Ok(())
    }

    fn connect(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.timeout = section.text("timeout", DURATION, values::duration(TIMEOUT))?;
        self.first_byte_timeout =
            section.text("first-byte-timeout", DURATION, values::duration(REPLY_TIMEOUT))?;
        self.body_timeout = section.text("body-timeout", DURATION, values::duration(REPLY_TIMEOUT))?;
        self.check_interval = section.text("check-interval", DURATION, values::duration(POLL))?;
        Ok(())
    }

    fn proxy(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.proxy = section.text("url", "an address in quotes", values::or_none(values::proxy_url))?;
        self.proxy_credentials = section.text("credentials-file", PATH, values::or_none(values::path))?;
        self.no_proxy = section.texts("no-proxy", "hosts in quotes", values::no_proxy)?;
        Ok(())
    }

    fn refresh(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.index = section.text("index", SERVER_PATH, values::or_none(values::server_path))?;
        self.refresh_interval = section.text("interval", DURATION, values::duration(REFRESH))?;
        self.longest_pause = section.text("longest-pause", DURATION, values::duration(PAUSE))?;
        self.anchors = section.text("anchors", PATH, values::path)?;
        Ok(())
    }

    fn inventory(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        self.inventory_path = section.text("path", SERVER_PATH, values::or_none(values::server_path))?;
        self.inventory_interval = section.text("interval", DURATION, values::duration(REFRESH))?;
        self.inventory_form =
            section.word("form", &[("json", InventoryForm::Json), ("xml", InventoryForm::Xml)])?;
        Ok(())
    }

    fn server(&mut self, section: &mut Section<'_, '_>) -> Result<(), Error> {
        let url = section.text("url", "an address in quotes", values::server_url)?;
        self.servers.push(ServerInput {
            name: section.text("name", "a name in quotes", values::name)?,
            url: section.required("url", url)?,
            names: section.word("names", &[("compat", Names::Compat), ("strict", Names::Strict)])?,
            pin: section.text("pin", "a fingerprint in quotes", values::pin)?,
            role: section.word("role", &[("management", Role::Management), ("site", Role::Site)])?,
            favourite: section.boolean("favourite")?,
            ranges: section.texts("ranges", "ranges of addresses in quotes", values::range)?,
            priority: section.number("priority", &PRIORITY)?,
        });
        Ok(())
    }
}

const PATH: &str = "an absolute path in quotes";
const SERVER_PATH: &str = "a path on the server in quotes";
const DURATION: &str = "a duration in quotes, such as \"30s\"";

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];
const FORMATS: &[(&str, LogFormat)] =
    &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];

/// A user id; the largest means "no user" to the kernel.
const USER_IDS: RangeInclusive<u64> = 0..=0xffff_fffe;
/// Room for one certificate at least; at most what the service's memory limit can hold twice.
const MAX_BYTES: RangeInclusive<u64> = 1 << 12..=64 << 20;
/// Beyond this a file is not a trust store but a dump.
const MAX_CERTIFICATES: RangeInclusive<u64> = 1..=100_000;
/// More often than each second is work without use, less often than each day is not watching.
const POLL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// What is kept for less than an hour is gone before somebody looks; ten years outlive every endpoint.
const LONG: RangeInclusive<Duration> = Duration::from_secs(3_600)..=Duration::from_secs(3_650 * 86_400);
/// The present one and the one before it at least, or there is nothing to go back to.
const GENERATIONS: RangeInclusive<u64> = 2..=1_000;
/// Longer than some seconds and a change is not noticed "at once" any more.
const SETTLE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(10);
/// Shorter fails over slow lines, longer outlives the interval of the checks.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
/// A server under the load of a fleet may take minutes; one that takes longer has forgotten us.
const REPLY_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
/// Five seconds are for tests and a single machine; after a month nobody knows whether the endpoint lives.
const REFRESH: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(31 * 86_400);
/// Longer would be an endpoint that does not come back by itself on the day its server does.
const PAUSE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Room between any two.
const PRIORITY: RangeInclusive<u64> = 0..=65_535;
