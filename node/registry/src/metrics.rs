//! What is counted, and how Prometheus reads it (text format 0.0.4).
//!
//! Counters are atomics, so that counting costs a request nothing. What would have to be counted by looking (bytes in
//! store, files in quarantine) is looked at when somebody asks, and not too often.

mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::admin::PAGE;
use crate::collect::Collected;
use crate::error::Result;
use crate::meta::blobs;
use crate::meta::damaged;
use crate::meta::tables::{BLOBS, View, split_digest};
use crate::store::Store;
use crate::upstream::Pulls;
use text::{Text, decimal};

/// The answer's media type.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Methods that are told apart; the last one stands for all others.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];
/// Kinds of addresses that are told apart; the last one stands for all others.
const ROUTES: [&str; 8] = ["health", "base", "blob", "upload", "manifest", "tags", "referrers", "other"];
/// Statuses that are told apart; the last one stands for all others.
const STATUSES: [u16; 23] = [
    200, 201, 202, 204, 206, 400, 401, 403, 404, 405, 408, 409, 413, 414, 416, 429, 431, 500, 502, 503, 504,
    507, 0,
];
/// Upper ends of the histogram of durations, in milliseconds, and as the text format writes them in seconds.
const BUCKETS: [(u64, &str); 8] = [
    (1, "0.001"),
    (5, "0.005"),
    (25, "0.025"),
    (100, "0.1"),
    (500, "0.5"),
    (2_500, "2.5"),
    (10_000, "10"),
    (60_000, "60"),
];
/// How long what was looked at counts as known, in milliseconds of registry time.
const KNOWN_MS: u64 = 15_000;

/// A number that only grows, or a gauge.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long requests of a kind took.
#[derive(Default)]
struct Durations {
    buckets: [Count; BUCKETS.len()],
    count: Count,
    micros: Count,
}

/// What is looked at when somebody asks.
#[derive(Clone, Copy, Default)]
struct Looked {
    files: u64,
    bytes: u64,
    quarantine_files: u64,
    quarantine_bytes: u64,
    damaged: u64,
}

/// All counters of a store and of what serves it.
pub(crate) struct Metrics {
    requests: Box<[Count]>,
    durations: [Durations; ROUTES.len()],
    pub(crate) received_bytes: Count,
    pub(crate) sent_bytes: Count,
    pub(crate) connections: Count,
    pub(crate) connections_open: Count,
    collections: Count,
    collections_failed: Count,
    pub(crate) collected_bytes: Count,
    purged_bytes: Count,
    collection_ms: Count,
    pub(crate) scrubbed_files: Count,
    pub(crate) scrubbed_bytes: Count,
    pub(crate) scrubbed_damaged: Count,
    /// Copies of upstreams that made way.
    pub(crate) evicted: Count,
    /// Lines that the access log dropped. Its own, too.
    pub(crate) log_lost: Arc<Count>,
    looked: Mutex<Option<(u64, Looked)>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = METHODS.len() * ROUTES.len() * STATUSES.len();
        Self {
            requests: (0..requests).map(|_| Count::default()).collect(),
            durations: Default::default(),
            received_bytes: Count::default(),
            sent_bytes: Count::default(),
            connections: Count::default(),
            connections_open: Count::default(),
            collections: Count::default(),
            collections_failed: Count::default(),
            collected_bytes: Count::default(),
            purged_bytes: Count::default(),
            collection_ms: Count::default(),
            scrubbed_files: Count::default(),
            scrubbed_bytes: Count::default(),
            scrubbed_damaged: Count::default(),
            evicted: Count::default(),
            log_lost: Arc::default(),
            looked: Mutex::default(),
        }
    }
}

/// Where something stands in a list whose last entry is for all others.
fn place<T: PartialEq>(list: &[T], wanted: &T) -> usize {
    list.iter().position(|entry| entry == wanted).unwrap_or(list.len() - 1)
}

impl Metrics {
    /// Counts a request and how long its answer took to begin.
    pub(crate) fn request(&self, method: &str, route: &str, status: u16, duration: Duration) {
        let route = place(&ROUTES, &route);
        let at =
            (place(&METHODS, &method) * ROUTES.len() + route) * STATUSES.len() + place(&STATUSES, &status);
        self.requests[at].add(1);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let durations = &self.durations[route];
        durations.count.add(1);
        durations.micros.add(micros);
        if let Some(bucket) = BUCKETS.iter().position(|(ms, _)| micros <= ms * 1_000) {
            durations.buckets[bucket].add(1);
        }
    }

    /// Counts a collection and how long it took.
    pub(crate) fn collection(&self, done: &Result<Collected>, ms: u64) {
        self.collections.add(1);
        self.collection_ms.set(ms);
        match done {
            Ok(done) => {
                self.collected_bytes.add(done.bytes);
                self.purged_bytes.add(done.purged_bytes);
            }
            Err(_) => self.collections_failed.add(1),
        }
    }
}

impl Store {
    /// What is looked at when somebody asks; what is known for a while already counts.
    fn look(&self) -> Result<Looked> {
        let now_ms = self.now_ms();
        let mut known = self.metrics.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at_ms, looked)) = *known
            && now_ms.saturating_sub(at_ms) < KNOWN_MS
        {
            return Ok(looked);
        }
        let mut looked = Looked { damaged: self.meta.read(damaged::list)?.len() as u64, ..Looked::default() };
        let mut after: Option<Vec<u8>> = None;
        loop {
            // Page by page: a long read would keep old pages of the metadata alive.
            let last = self.meta.read(|view| {
                let keys = view.keys(BLOBS, &[], after.as_deref(), PAGE)?;
                for key in &keys {
                    let (digest, _) = split_digest(key)?;
                    looked.files += 1;
                    looked.bytes += blobs::size(view, &digest)?.unwrap_or(0);
                }
                Ok(keys.into_iter().next_back())
            })?;
            if last.is_none() {
                break;
            }
            after = last;
        }
        (looked.quarantine_files, looked.quarantine_bytes) = self.blobs.quarantined()?;
        *known = Some((now_ms, looked));
        Ok(looked)
    }

    /// Everything that is counted, in Prometheus' text format; `pulls` is what the upstreams count.
    ///
    /// # Errors
    /// When the metadata or the disk fails.
    pub fn metrics_text(&self, pulls: &Pulls) -> Result<String> {
        let (metrics, looked) = (&self.metrics, self.look()?);
        let mut text = Text::default();
        text.requests(metrics);
        text.durations(metrics);
        text.pulls(pulls);
        text.counter("received_bytes_total", "Bytes received from clients.", metrics.received_bytes.get());
        text.counter("sent_bytes_total", "Bytes sent to clients.", metrics.sent_bytes.get());
        text.counter("connections_total", "Connections taken.", metrics.connections.get());
        text.gauge("connections_open", "Connections open.", metrics.connections_open.get());
        let (uploads, upload_bytes) = self.uploads.open_bytes();
        text.gauge("uploads_open", "Uploads that have not ended.", uploads);
        text.gauge(
            "uploads_open_bytes",
            "Bytes that have arrived of uploads that have not ended.",
            upload_bytes,
        );
        text.gauge("blobs", "Files in service.", looked.files);
        text.gauge("blobs_bytes", "Bytes of the files in service.", looked.bytes);
        text.gauge("quarantine_files", "Files in quarantine.", looked.quarantine_files);
        text.gauge("quarantine_bytes", "Bytes of the files in quarantine.", looked.quarantine_bytes);
        text.gauge("damaged_files", "Files found damaged that have not come back.", looked.damaged);
        text.counter("collections_total", "Collections of garbage run.", metrics.collections.get());
        text.counter(
            "collections_failed_total",
            "Collections that failed.",
            metrics.collections_failed.get(),
        );
        let collected = metrics.collected_bytes.get();
        text.counter("collected_bytes_total", "Bytes taken out of service by collections.", collected);
        text.counter(
            "purged_bytes_total",
            "Bytes given back to the disk by collections.",
            metrics.purged_bytes.get(),
        );
        text.family("collection_last_duration_seconds", "gauge", "How long the last collection took.");
        text.line("collection_last_duration_seconds", "", decimal(metrics.collection_ms.get(), 1_000));
        text.counter("scrubbed_files_total", "Files read by scrubs.", metrics.scrubbed_files.get());
        text.counter("scrubbed_bytes_total", "Bytes read by scrubs.", metrics.scrubbed_bytes.get());
        text.counter(
            "scrubbed_damaged_total",
            "Files that scrubs found damaged.",
            metrics.scrubbed_damaged.get(),
        );
        text.counter(
            "upstream_evicted_manifests_total",
            "Manifests kept of upstreams that made way.",
            metrics.evicted.get(),
        );
        text.counter(
            "access_log_lost_lines_total",
            "Lines of the access log that were dropped.",
            metrics.log_lost.get(),
        );
        let (rounds, _) = self.scrub_due(0)?;
        text.counter("scrub_rounds_total", "Rounds of the scrub that ended, over all starts.", rounds);
        if let Some((free, all)) = crate::space::of(&self.directory()) {
            text.gauge("disk_free_bytes", "Bytes of the file system that can still be written.", free);
            text.gauge("disk_size_bytes", "Bytes of the file system.", all);
        }
        Ok(text.into_string())
    }
}

impl Text {
    fn requests(&mut self, metrics: &Metrics) {
        self.family("requests_total", "counter", "Requests answered.");
        for (at, count) in metrics.requests.iter().enumerate() {
            let count = count.get();
            if count == 0 {
                continue;
            }
            let (rest, status) = (at / STATUSES.len(), STATUSES[at % STATUSES.len()]);
            let (method, route) = (METHODS[rest / ROUTES.len()], ROUTES[rest % ROUTES.len()]);
            let status = if status == 0 { "other".to_owned() } else { status.to_string() };
            let labels = format!(r#"{{method="{method}",route="{route}",status="{status}"}}"#);
            self.line("requests_total", &labels, count);
        }
    }

    fn durations(&mut self, metrics: &Metrics) {
        let name = "request_duration_seconds";
        self.family(name, "histogram", "Time from a request's head to that of its answer.");
        for (route, durations) in ROUTES.iter().zip(&metrics.durations) {
            if durations.count.get() == 0 {
                continue;
            }
            let (mut sum, bucket) = (0, format!("{name}_bucket"));
            for ((_, end), count) in BUCKETS.iter().zip(&durations.buckets) {
                sum += count.get();
                self.line(&bucket, &format!(r#"{{route="{route}",le="{end}"}}"#), sum);
            }
            // Read last, so that it is not less than what was counted meanwhile.
            let count = durations.count.get().max(sum);
            self.line(&bucket, &format!(r#"{{route="{route}",le="+Inf"}}"#), count);
            let labels = format!(r#"{{route="{route}"}}"#);
            self.line(&format!("{name}_sum"), &labels, decimal(durations.micros.get(), 1_000_000));
            self.line(&format!("{name}_count"), &labels, count);
        }
    }

    fn pulls(&mut self, pulls: &Pulls) {
        let name = "upstream_pulls_total";
        self.family(name, "counter", "Pulls of what is kept of upstreams, by what came of them.");
        let outcomes = [
            ("hit", pulls.hits),
            ("fetched", pulls.fetched),
            ("stale", pulls.stale),
            ("passed", pulls.passed),
            ("failed", pulls.failed),
        ];
        for (outcome, count) in outcomes {
            self.line(name, &format!(r#"{{outcome="{outcome}"}}"#), count);
        }
        self.counter("upstream_received_bytes_total", "Bytes received from upstreams.", pulls.received_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_and_strange_ones_counted_together() {
        let metrics = Metrics::default();
        metrics.request("GET", "blob", 200, Duration::from_micros(900));
        metrics.request("GET", "blob", 200, Duration::from_secs(90));
        metrics.request("BREW", "teapot", 418, Duration::from_millis(3));
        let mut text = Text::default();
        text.requests(&metrics);
        text.durations(&metrics);
        for line in [
            r#"requests_total{method="GET",route="blob",status="200"} 2"#,
            r#"requests_total{method="other",route="other",status="other"} 1"#,
            r#"request_duration_seconds_bucket{route="blob",le="0.001"} 1"#,
            r#"request_duration_seconds_bucket{route="blob",le="60"} 1"#,
            r#"request_duration_seconds_bucket{route="blob",le="+Inf"} 2"#,
            r#"request_duration_seconds_sum{route="blob"} 90.000900"#,
            r#"request_duration_seconds_bucket{route="other",le="0.005"} 1"#,
        ] {
            assert!(
                text.as_str().contains(&format!("trustnet_registry_{line}\n")),
                "{line} in {}",
                text.as_str()
            );
        }
    }

    #[test]
    fn every_outcome_of_a_pull_is_told_also_before_the_first() {
        let mut text = Text::default();
        text.pulls(&Pulls { hits: 7, received_bytes: 1 << 40, ..Pulls::default() });
        for line in [
            r#"upstream_pulls_total{outcome="hit"} 7"#,
            r#"upstream_pulls_total{outcome="fetched"} 0"#,
            r#"upstream_pulls_total{outcome="stale"} 0"#,
            r#"upstream_pulls_total{outcome="passed"} 0"#,
            r#"upstream_pulls_total{outcome="failed"} 0"#,
            "upstream_received_bytes_total 1099511627776",
        ] {
            assert!(
                text.as_str().contains(&format!("trustnet_registry_{line}\n")),
                "{line} in {}",
                text.as_str()
            );
        }
    }
}
