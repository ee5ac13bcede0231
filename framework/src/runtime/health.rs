//! Is the application alive, and is it ready: decided from snapshots, with reasons.

use std::time::Duration;

use super::stats::{TaskState, ThreadSnapshot, ThreadState};
use crate::time::Timestamp;

/// Why the application is not alive or not ready, one sentence per cause. Empty: it is.
pub type Reasons = Vec<String>;

/// Not alive: no restart of a thread helps, only one of the process. A loop that has not come round for `silence_max`
/// (take `max.poll.interval.ms`: the group has given up on it by then) is stuck.
pub fn dead(threads: &[ThreadSnapshot], now: Timestamp, silence_max: Duration) -> Reasons {
    let mut reasons = Reasons::new();
    for thread in threads {
        let name = &thread.thread;
        match thread.state {
            ThreadState::Failed => reasons.push(format!("thread {name} has failed{}", last_error(thread))),
            ThreadState::Stopped => {}
            // A thread that has never come round has no heartbeat to be late with; it is not ready, but alive.
            _ if thread.heartbeat <= Timestamp::EPOCH => {}
            _ => {
                let silence = now.since(thread.heartbeat);
                if silence > silence_max {
                    reasons.push(format!("thread {name} has not come round for {} s", silence.as_secs()));
                }
            }
        }
    }
    reasons
}

/// Not ready: something is not assigned, not restored, stuck or failed.
pub fn unready(threads: &[ThreadSnapshot], now: Timestamp, silence_max: Duration) -> Reasons {
    let mut reasons = dead(threads, now, silence_max);
    if threads.is_empty() {
        reasons.push("no stream thread has started".to_owned());
    }
    for thread in threads {
        let name = &thread.thread;
        match thread.state {
            // A failed thread has its reason already.
            ThreadState::Running | ThreadState::Failed => {}
            ThreadState::Starting => reasons.push(format!("thread {name} has not joined the group yet")),
            state => reasons.push(format!("thread {name} is {}", state.as_str())),
        }
        reasons.extend(thread.waiting_for.iter().map(|what| format!("thread {name} waits {what}")));
        for task in thread.tasks.iter().filter(|task| task.state != TaskState::Running) {
            let progress = task.restore.map_or_else(String::new, |restore| {
                format!(", {} of {} records to go", restore.remaining(), restore.total)
            });
            reasons.push(format!("task {} is {}{progress}", task.id, task.state.as_str()));
        }
    }
    reasons
}

fn last_error(thread: &ThreadSnapshot) -> String {
    thread.errors.iter().next_back().map_or_else(String::new, |error| format!(": {}", error.message))
}

#[cfg(test)]
mod tests {
    use super::super::stats::{RestoreSnapshot, TaskSnapshot};
    use super::*;
    use crate::record::{Partition, TaskId};

    const LIMIT: Duration = Duration::from_secs(10);

    fn running() -> ThreadSnapshot {
        ThreadSnapshot {
            thread: "0".into(),
            state: ThreadState::Running,
            heartbeat: Timestamp::from_millis(1_000),
            tasks: vec![TaskSnapshot {
                id: TaskId { subtopology: 0, partition: Partition(3) },
                state: TaskState::Running,
                processed: 0,
                stream_time: Timestamp::NONE,
                inputs: vec![],
                stores: vec![],
                database: None,
                restore: None,
                start: None,
            }],
            ..ThreadSnapshot::default()
        }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_running_thread_with_running_tasks_is_ready() {
        assert_eq!(unready(&[running()], at(11_000), LIMIT), Reasons::new());
    }

    #[test]
    fn a_loop_that_stands_still_is_dead() {
        assert_eq!(dead(&[running()], at(12_001), LIMIT), ["thread 0 has not come round for 11 s"]);
    }

    #[test]
    fn a_restoring_task_is_not_ready_but_alive() {
        let mut thread = running();
        thread.tasks[0].state = TaskState::Restoring;
        thread.tasks[0].restore = Some(RestoreSnapshot { done: 40, total: 100 });
        assert_eq!(dead(std::slice::from_ref(&thread), at(1_000), LIMIT), Reasons::new());
        assert_eq!(unready(&[thread], at(1_000), LIMIT), ["task 0_3 is restoring, 60 of 100 records to go"]);
    }

    /// Its tasks run, and nothing is processed.
    #[test]
    fn a_thread_that_waits_for_long_is_not_ready_but_alive() {
        let mut thread = running();
        thread.waiting_for.push("for 21 s: there is no producer".to_owned());
        assert_eq!(dead(std::slice::from_ref(&thread), at(1_000), LIMIT), Reasons::new());
        assert_eq!(unready(&[thread], at(1_000), LIMIT), ["thread 0 waits for 21 s: there is no producer"]);
    }

    #[test]
    fn a_failed_thread_is_dead_and_its_error_is_the_reason() {
        let mut thread = running();
        thread.state = ThreadState::Failed;
        thread.errors.push(at(1), None, &std::fmt::Error, crate::error::Recovery::Shutdown);
        let reasons = unready(&[thread], at(1_000), LIMIT);
        assert_eq!(reasons, [format!("thread 0 has failed: {}", std::fmt::Error)]);
    }

    #[test]
    fn before_the_first_thread_nothing_is_ready_and_nothing_dead() {
        assert_eq!(dead(&[], at(0), LIMIT), Reasons::new());
        assert_eq!(unready(&[], at(0), LIMIT), ["no stream thread has started"]);
        let starting = ThreadSnapshot { thread: "0".into(), heartbeat: Timestamp::NONE, ..ThreadSnapshot::default() };
        assert_eq!(dead(std::slice::from_ref(&starting), at(99_000), LIMIT), Reasons::new());
        assert_eq!(unready(&[starting], at(99_000), LIMIT), ["thread 0 has not joined the group yet"]);
    }
}
