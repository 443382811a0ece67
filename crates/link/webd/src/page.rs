//! The page: what `banto status` shows.

use house_status::{Clock, HouseStatus, Part, bound_text, seconds_text};
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

/// The one style sheet.
pub const STYLE: &str = include_str!("style.css");

/// The page renews itself after so many seconds, without a script.
const RENEW_SECONDS: u32 = 10;

/// The whole page.
pub fn page(house: &HouseStatus) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(RENEW_SECONDS);
                title { (house.host) " - banto" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header {
                    h1 { (house.host) }
                    p { @match &house.dir { Some(dir) => { "house in " (dir) }, None => "installed system" } }
                }
                main {
                    (clock(&house.clock))
                    (log(&house.log))
                    (mail(&house.mail))
                    (alerts(&house.alerts))
                }
                footer { "The same for programs: " a href="/status.json" { "status.json" } ". The page renews itself every " (RENEW_SECONDS) " seconds." }
            }
        }
    }
}

fn section(title: &str, good: bool, state: &str, content: Markup) -> Markup {
    html! {
        section {
            h2 { span { (title) } span class=(if good { "good" } else { "bad" }) { (state) } }
            (content)
        }
    }
}

fn clock(clock: &Clock) -> Markup {
    let state = match (clock.up, clock.synchronised) {
        (false, _) => "does not answer",
        (true, true) => "synchronised",
        (true, false) if clock.own_clock_only => "own clock only",
        (true, false) => "not synchronised",
    };
    section(
        "Clock",
        clock.up && clock.synchronised,
        state,
        html! {
            dl {
                @if let Some(error) = &clock.error { dt { "Error" } dd { (error) } }
                @if clock.own_clock_only {
                    dt { "Follows" }
                    dd { "its own clock only (local stratum " (clock.stratum) "): no source; the error is unknown" }
                }
                @if !clock.unresolved.is_empty() { dt { "No address yet" } dd { (clock.unresolved.join(", ")) } }
                @if let Some(reference) = &clock.reference { dt { "Follows" } dd { (reference) " (stratum " (clock.stratum) ")" } }
                @if let Some(offset) = clock.offset_seconds { dt { "Offset" } dd { (seconds_text(offset)) } }
                @if let Some(bound) = clock.error_bound_seconds { dt { "Right within" } dd { (bound_text(bound)) } }
                @if let Some(kernel) = clock.kernel.filter(|kernel| !(clock.own_clock_only && kernel.synchronised)) {
                    dt { "Kernel" }
                    dd {
                        @if kernel.synchronised { "synchronised, right within " (bound_text(kernel.max_error_usec as f64 / 1e6)) }
                        @else { "not synchronised" }
                    }
                }
            }
            @if !clock.sources.is_empty() {
                table {
                    thead { tr { th { "Source" } th { "State" } th.number { "Stratum" } th.number { "Reach" } th.number { "Offset" } th.number { "+/-" } } }
                    tbody {
                        @for source in &clock.sources {
                            tr {
                                td { (source.label()) } td { (source.state) } td.number { (source.stratum) }
                                td.number { (format!("{:o}", source.reachability)) }
                                // Of a source that has never answered nothing is known, not an offset of nought.
                                @if source.stratum == 0 && source.reachability == 0 {
                                    td.number { "-" } td.number { "-" }
                                } @else {
                                    td.number { (seconds_text(source.offset_seconds)) } td.number { (bound_text(source.error_seconds)) }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

fn log(part: &Part) -> Markup {
    let inputs = part.inputs();
    let (kept, lost) = part.kept_and_lost();
    let state = if !part.up {
        "does not answer"
    } else if lost > 0 {
        "records lost"
    } else {
        "nothing lost"
    };
    section(
        "Log",
        part.up && lost == 0,
        state,
        html! {
            dl {
                @if let Some(error) = &part.error { dt { "Error" } dd { (error) } }
                @else { dt { "Kept" } dd { (kept) } dt { "Lost" } dd { (lost) } }
            }
            @if !inputs.is_empty() {
                table {
                    thead { tr { th { "Input" } th.number { "Kept" } th.number { "Lost" } } }
                    tbody {
                        @for input in &inputs {
                            tr {
                                td { (input.name) }
                                td.number { (input.kept) } td.number { (input.lost) }
                            }
                        }
                    }
                }
            }
        },
    )
}

fn mail(part: &Part) -> Markup {
    let queued = part.queued();
    let state = if !part.up { "does not answer".to_owned() } else { format!("{queued} in the queue") };
    section(
        "Mail",
        part.up,
        &state,
        html! {
            dl {
                @if let Some(error) = &part.error { dt { "Error" } dd { (error) } }
                @else {
                    dt { "Last delivery" }
                    dd {
                        @if let Some(last) = part.last_delivery() {
                        (last.status) " to " (last.to) ", " (bound_text(last.seconds_ago().max(0.001))) " ago"
                    }
                    @else { "none yet" }
                    }
                }
            }
        },
    )
}

fn alerts(part: &Part) -> Markup {
    let status = part.status.clone().unwrap_or_default();
    let count = |value: &Value, name: &str| value[name].as_u64().unwrap_or(0);
    let unsent = part.unsent();
    let state = match (part.up, unsent.is_trouble()) {
        (false, _) => "does not answer".to_owned(),
        (true, true) => format!("{} waiting, {} refused", unsent.waiting, unsent.failed),
        (true, false) => format!("{} fired", count(&status, "fired")),
    };
    section(
        "Alerts",
        part.up && !unsent.is_trouble(),
        &state,
        html! {
            dl {
                @if let Some(error) = &part.error { dt { "Error" } dd { (error) } }
                @else {
                    dt { "Fired" } dd { (count(&status, "fired")) }
                    dt { "Suppressed" } dd { (count(&status, "suppressed")) }
                    @if unsent.waiting > 0 {
                        dt { "Cannot be sent yet" }
                        dd { (unsent.waiting) ": " (unsent.waiting_because.as_deref().unwrap_or("not tried yet")) }
                    }
                    @if unsent.failed > 0 {
                        dt { "Refused for good" }
                        dd { (unsent.failed) @if let Some(why) = &unsent.failed_because { ": " (why) } }
                    }
                }
            }
            @if let Some(rules) = status["rules"].as_array() {
                table {
                    thead { tr { th { "Rule" } th.number { "Matched" } th.number { "Fired" } th.number { "Suppressed" } } }
                    tbody {
                        @for rule in rules {
                            tr {
                                td { (rule["name"].as_str().unwrap_or("?")) }
                                td.number { (count(rule, "matched")) } td.number { (count(rule, "fired")) } td.number { (count(rule, "suppressed")) }
                            }
                        }
                    }
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a page of a house where nothing answers says so, and what daemons say is escaped.
    #[test]
    fn a_page_tells_what_is_down_and_escapes() {
        let down = Part { up: false, status: None, error: Some("<script>alert(1)</script>".to_owned()) };
        let house = HouseStatus {
            host: "shop".to_owned(),
            dir: Some("/h".to_owned()),
            clock: Clock { error: Some("nobody".to_owned()), ..Clock::default() },
            time: down.clone(),
            log: down.clone(),
            mail: down.clone(),
            alerts: down.clone(),
            web: down,
        };
        let text = page(&house).into_string();
        assert!(!text.contains("<script") && text.contains("&lt;script&gt;"));
        assert_eq!(text.matches("does not answer").count(), 4);
    }

    /// Goal: alerts that do not leave are shown with the reason, and a clock without a source claims no bound.
    #[test]
    fn a_page_tells_what_does_not_leave() {
        let part = |status: Value| Part { up: true, status: Some(status), error: None };
        let text = alerts(&part(serde_json::json!({
            "waiting": 1, "waiting_because": "cannot run sendmail", "failed": 2, "failed_because": "no such user",
        })))
        .into_string();
        assert!(text.contains("1: cannot run sendmail") && text.contains("2: no such user"), "{text}");
        assert!(text.contains("bad") && !alerts(&part(serde_json::json!({}))).into_string().contains("bad"));
        let own = Clock { up: true, own_clock_only: true, stratum: 3, ..Clock::default() };
        let text = clock(&own).into_string();
        assert!(
            text.contains("its own clock only (local stratum 3)") && !text.contains("ight within"),
            "{text}"
        );
    }
}
