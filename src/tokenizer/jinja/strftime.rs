//! Dates as templates ask for them: the directives of C's `strftime` that need no language but English, in UTC.

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The first day of 1970 was a Thursday.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// `seconds` since 1970 in the words of `format`. An error for a directive that is not known.
pub(super) fn strftime(format: &str, seconds: i64) -> Result<String, Error> {
    let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    let (year, month, day) = civil(days);
    let (month_name, day_name) = (MONTHS[month as usize - 1], DAYS[days.rem_euclid(7) as usize]);
    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        // A dash or hash in front leaves leading zeros out.
        let mut directive = characters.next();
        let bare = matches!(directive, Some('-' | '#'));
        if bare {
            directive = characters.next();
        }
        let two = |n: i64| if bare { n.to_string() } else { format!("{n:02}") };
        out += &match directive {
            Some('Y') => year.to_string(),
            Some('y') => two(year.rem_euclid(100)),
            Some('m') => two(month),
            Some('d') => two(day),
            Some('e') => format!("{day:2}"),
            Some('j') => format!("{:03}", days - days_before(year) + 1),
            Some('B') => month_name.to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('A') => day_name.to_owned(),
            Some('a') => day_name[..3].to_owned(),
            Some('H') => two(hour),
            Some('I') => two((hour + 11) % 12 + 1),
            Some('M') => two(minute),
            Some('S') => two(second),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('Z') => "UTC".to_owned(),
            Some('z') => "+0000".to_owned(),
            Some('%') => "%".to_owned(),
            other => {
                let directive = other.map_or_else(String::new, String::from);
                let words = format!("strftime_now: the directive %{directive} is not known");
                return Err(Error::new(ErrorKind::InvalidOperation, words));
            }
        };
    }
    Ok(out)
}

/// Days from 1970 to the first day of `year` in the Gregorian calendar.
fn days_before(year: i64) -> i64 {
    let y = year - 1;
    365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) - 719_162
}

/// Year, month from 1 on and day from 1 on of the day that many days after the first of 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    // 400 years have 146,097 days, so this is the year or the one after it.
    let mut year = 1970 + (days * 400).div_euclid(146_097);
    if days_before(year) > days {
        year -= 1;
    } else if days_before(year + 1) <= days {
        year += 1;
    }
    let is_leap = days_before(year + 1) - days_before(year) == 366;
    let mut day = days - days_before(year);
    let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (1..).zip(lengths) {
        if day < length {
            return (year, month, day + 1);
        }
        day -= length;
    }
    unreachable!("the day lies within the year")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, wanted) in [
            (0, "Thursday 01 Jan 1970 00:00:00 AM 001"),
            (951_782_400, "Tuesday 29 Feb 2000 00:00:00 AM 060"),
            (1_735_689_599, "Tuesday 31 Dec 2024 23:59:59 PM 366"),
            (1_735_689_600, "Wednesday 01 Jan 2025 00:00:00 AM 001"),
            (-1, "Wednesday 31 Dec 1969 23:59:59 PM 365"),
            (4_107_542_400, "Monday 01 Mar 2100 00:00:00 AM 060"),
        ] {
            assert_eq!(strftime("%A %d %b %Y %T %p %j", seconds).unwrap(), wanted);
        }
        assert_eq!(strftime("%-d. %B %y, %I:%M %%", 1_720_000_000).unwrap(), "3. July 24, 09:46 %");
        assert!(strftime("%Q", 0).unwrap_err().to_string().contains("%Q is not known"));
        assert!(strftime("100%", 0).is_err());
    }

    #[test]
    fn every_day_of_five_centuries_follows_the_one_before() {
        let mut last = civil(-100_001);
        for days in -100_000..100_000 {
            let day = civil(days);
            let (y, m, d) = last;
            assert!(day == (y, m, d + 1) || day == (y, m + 1, 1) || day == (y + 1, 1, 1), "{last:?} then {day:?}");
            last = day;
        }
    }
}
