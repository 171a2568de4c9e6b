//! The days of the week and the seasons: what comes before and after.

use crate::lesson::Lesson;
use crate::rng::Rng;

/// The days in their order.
pub(crate) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SEASONS: [&str; 4] = ["spring", "summer", "autumn", "winter"];
const PLACES: [&str; 7] = ["first", "second", "third", "fourth", "fifth", "sixth", "last"];

/// A question about days or seasons.
pub(crate) fn week(rng: &mut Rng) -> Lesson {
    let day = rng.below(7);
    match rng.below(12) {
        0..3 => after(rng, day),
        3..6 => before(rng, day),
        6 => in_two_days(rng, day),
        7 => place(rng, day),
        8 => between(rng, day),
        9 => whole_week(rng),
        _ => season(rng),
    }
}

fn lesson(rng: &mut Rng, about: String, questions: &str, answers: &str) -> Lesson {
    Lesson::new("days", about, rng, questions, answers)
}

fn after(rng: &mut Rng, day: usize) -> Lesson {
    let (d, next) = (DAYS[day], DAYS[(day + 1) % 7]);
    let questions = format!(
        "[[what|which] day comes [after|right after] {d}?|[what|which] day follows {d}?|what is the day after {d}?|\
         what comes after {d}?|tell me the day after {d}.|today is {d}. ^[what|which] day is [it |]tomorrow?|\
         if today is {d}, [what is|what day is|which day is] tomorrow?|it is {d} today. ^what will it be tomorrow?|\
         yesterday was {d}. ^[what|which] day is today?]"
    );
    lesson(rng, format!("after {d}"), &questions, &format!("[it is|that is|] <{next}>."))
}

fn before(rng: &mut Rng, day: usize) -> Lesson {
    let (d, last) = (DAYS[day], DAYS[(day + 6) % 7]);
    let questions = format!(
        "[[what|which] day comes [before|right before] {d}?|[what|which] day is before {d}?|what is the day before {d}?|\
         what comes before {d}?|tell me the day before {d}.|today is {d}. ^[what|which] day was [it |]yesterday?|\
         if today is {d}, [what was|what day was|which day was] yesterday?|it is {d} today. ^what was it yesterday?|\
         tomorrow is {d}. ^[what|which] day is today?]"
    );
    lesson(rng, format!("before {d}"), &questions, &format!("[it is|that is|] <{last}>."))
}

fn in_two_days(rng: &mut Rng, day: usize) -> Lesson {
    let (d, then) = (DAYS[day], DAYS[(day + 2) % 7]);
    let questions = format!(
        "[today is {d}. ^[what|which] day is the day after tomorrow?|[what|which] day is two days after {d}?|\
         today is {d}. ^[what|which] day is it in two days?|if today is {d}, [what|which] day is it in two days?|\
         what day comes two days after {d}?]"
    );
    lesson(rng, format!("two after {d}"), &questions, &format!("[it is|that is|] <{then}>."))
}

fn place(rng: &mut Rng, day: usize) -> Lesson {
    let (d, nth) = (DAYS[day], PLACES[day]);
    let questions =
        format!("[what|which] is the {nth} day of the week?|[what|which] day is the {nth} [one |][of|in] the week?");
    lesson(rng, format!("{nth} day"), &format!("[{questions}]"), &format!("[it is|that is|] <{d}>."))
}

fn between(rng: &mut Rng, day: usize) -> Lesson {
    let (a, d, b) = (DAYS[(day + 6) % 7], DAYS[day], DAYS[(day + 1) % 7]);
    let questions = format!("[what|which] day [is|comes|lies] between {a} and {b}?");
    lesson(rng, format!("between {a} {b}"), &questions, &format!("[it is|that is|] <{d}>."))
}

fn whole_week(rng: &mut Rng) -> Lesson {
    match rng.below(3) {
        0 => lesson(
            rng,
            "days in a week".to_owned(),
            "[how many days are there in a week?|how many days has a week?|how many days does a week have?|\
             a week has how many days?|how many days make a week?|do you know how many days a week has?]",
            "[a week has|there are] <seven> days.",
        ),
        1 => lesson(
            rng,
            "all the days".to_owned(),
            "[what are the days of the week?|name the days of the week.|tell me the days of the week.|\
             can you say the days of the week?|say the seven days of the week.|which days does a week have?]",
            &format!("<{} and {};{}>.", DAYS[..6].join(", "), DAYS[6], DAYS.join(", ")),
        ),
        _ => lesson(
            rng,
            "weekend".to_owned(),
            "[which days are the weekend?|what days are the weekend?|which two days make the weekend?|\
             when is the weekend?|on which days is there no school?|which days are free of school?]",
            "<Saturday and Sunday;Sunday and Saturday>.",
        ),
    }
}

fn season(rng: &mut Rng) -> Lesson {
    let i = rng.below(4);
    let s = SEASONS[i];
    match rng.below(5) {
        0 | 1 => {
            let questions = format!(
                "[what|which season] comes [after|right after] {s}?|what is the season after {s}?|[what|which season] follows {s}?|\
                 it is {s} now. ^what comes next?"
            );
            let next = SEASONS[(i + 1) % 4];
            lesson(rng, format!("after {s}"), &format!("[{questions}]"), &format!("[it is|that is|] <{next}>."))
        }
        2 | 3 => {
            let questions = format!(
                "[what|which season] comes [before|right before] {s}?|what is the season before {s}?|\
                 which season [is|was] before {s}?|it is {s} now. ^which season was before?"
            );
            let last = SEASONS[(i + 3) % 4];
            lesson(rng, format!("before {s}"), &format!("[{questions}]"), &format!("[it is|that is|] <{last}>."))
        }
        _ => lesson(
            rng,
            "seasons in a year".to_owned(),
            "[how many seasons are there?|how many seasons has a year?|how many seasons are there in a year?|\
             how many seasons does a year have?|do you know how many seasons there are?|a year has how many seasons?]",
            "[there are|a year has] <four> seasons.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_after_sunday_is_monday_and_the_day_before_monday_is_sunday() {
        let mut rng = Rng::new(1);
        for (day, d) in DAYS.iter().enumerate() {
            assert_eq!(after(&mut rng, day).fact.accept[0], DAYS[(day + 1) % 7].to_lowercase(), "{d}");
            assert_eq!(before(&mut rng, (day + 1) % 7).fact.accept[0], d.to_lowercase());
        }
        assert_eq!(after(&mut rng, 6).fact.accept, ["monday"]);
        assert_eq!(in_two_days(&mut rng, 5).fact.accept, ["monday"]);
    }
}
