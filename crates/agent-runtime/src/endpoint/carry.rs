//! A publication: the bundle, its generation, the line in the record of changes, the state.

use std::cell::{LazyCell, OnceCell};
use std::path::Path;
use std::sync::PoisonError;
use std::time::SystemTime;

use trust_core::engine::Carried;
use trust_core::history::Generation;
use trust_core::parallel;

use super::{Endpoint, Job, failure};
use crate::history::History;
use crate::publish::{self, BUNDLE_MODE, Prepared, PublishError, publish_made, publish_parts};
use crate::state::Draft;

/// What was done while a long bundle was written.
#[derive(Default)]
struct Ahead<'a> {
    generation: Option<Prepared<'a>>,
    draft: Option<Draft<'a>>,
}

impl Endpoint {
    /// Writes the bundle where it is to be written, then the generation where it is a new one, then the state. Blocks on
    /// files.
    #[must_use]
    pub fn carry(&self, job: &Job) -> Carried {
        // A store that follows from another state than the last might have in it what was distrusted since.
        if let Err(error) = self.state.check_readable() {
            return Carried::Failed(failure(&error.unread()));
        }
        let path = job.generation.as_ref().map(|generation| self.history.path(generation.number));
        let ahead = match self.publish(job, path.as_deref()) {
            Ok(ahead) => ahead,
            Err(error) => return Carried::Failed(failure(&error)),
        };
        let recorded = self.record(job, ahead.generation);
        self.note(job);
        let draft = || ahead.draft.unwrap_or_else(|| self.state.draft(&job.state, job.generation.is_some()));
        match recorded.and_then(|()| self.state.save_draft(&*self.files, draft())) {
            Ok(()) => {
                self.state.remove_aside(SystemTime::now(), self.keep.max_age);
                Carried::Done
            }
            Err(error) => Carried::StateFailed(failure(&error)),
        }
    }

    /// Writes the bundle where it is to be written. The generation of a long one is written to the disk beside it, by
    /// another thread, and the state is drafted; what that leaves to be done comes back.
    fn publish<'a>(
        &'a self,
        job: &'a Job,
        generation_path: Option<&'a Path>,
    ) -> Result<Ahead<'a>, PublishError> {
        let Some((bundle, true)) = &job.bundle else { return Ok(Ahead::default()) };
        let draft = OnceCell::new();
        if let (Some(generation), Some(path)) = (&job.generation, generation_path)
            && bundle.parts.len() > 1
        {
            let write = || {
                let content: publish::Content<'_> = &|put| {
                    bundle.parts.iter().try_for_each(|part| put(part.as_bytes()))?;
                    // While the disk is at it.
                    draft.get_or_init(|| self.state.draft(&job.state, true));
                    Ok(())
                };
                publish_made(&*self.files, &self.paths.merged, content, BUNDLE_MODE)
            };
            let beside = || History::prepare(&*self.files, path, generation, &bundle.parts).ok();
            if let (Ok(()), generation) = parallel::both(write, beside) {
                return Ok(Ahead { generation, draft: draft.into_inner() });
            }
            // Once more without what may have taken its room.
        }
        let parts: Vec<&[u8]> = bundle.parts.iter().map(String::as_bytes).collect();
        let write = || publish_parts(&*self.files, &self.paths.merged, &parts, BUNDLE_MODE);
        // In place, but perhaps not after a power cut: from the beginning, with a new file.
        write().or_else(|error| if error.is_visible() { write() } else { Err(error) })?;
        Ok(Ahead::default())
    }

    /// Writes the generation, after those of publications before whose turn failed: what was in place is in the history.
    fn record(&self, job: &Job, prepared: Option<Prepared<'_>>) -> Result<(), PublishError> {
        /// Each holds a bundle in memory. So many publications while the state cannot be written are a fault of weeks.
        const MAX_OWED: usize = 16;
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let needed = LazyCell::new(|| self.state.needed_generation());
        let is_needed = |number| *needed == Some(number);
        let add = |generation: &Generation, bundle: &[String]| {
            self.history.add(&*self.files, generation, bundle, self.keep, is_needed)
        };
        let mut earlier = Ok(());
        while let Some((generation, bundle)) = owed.first()
            && earlier.is_ok()
        {
            earlier = add(generation, bundle);
            if earlier.is_ok() {
                owed.remove(0);
            }
        }
        let (Some(generation), Some((bundle, _))) = (&job.generation, &job.bundle) else { return earlier };
        let finish = |prepared| self.history.finish(prepared, generation, self.keep, is_needed);
        let written = earlier.and_then(|()| match prepared.map(finish) {
            Some(Ok(())) => Ok(()),
            // What could not be done beside the bundle may be possible now.
            Some(Err(_)) | None => add(generation, &bundle.parts),
        });
        if written.is_err() {
            owed.push((Generation::clone(generation), bundle.parts.clone()));
            if owed.len() > MAX_OWED {
                owed.remove(0);
            }
        }
        written
    }
}
