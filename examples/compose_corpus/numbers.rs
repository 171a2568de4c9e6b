//! Counting up to twenty, and sums and differences within twenty.

use crate::facts::NUMBERS;
use crate::lesson::Lesson;
use crate::rng::Rng;

const LAST: usize = NUMBERS.len() - 1;

/// A number in words, or in digits where the question is written so.
fn number(n: usize, digits: bool) -> String {
    if digits { n.to_string() } else { NUMBERS[n].to_owned() }
}

/// `a + b` or `a - b`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    a: usize,
    b: usize,
    plus: bool,
}

impl Sum {
    /// Every sum and difference of which no part and no result is above twenty.
    pub(crate) fn all() -> Vec<Sum> {
        let pairs = || (0..=LAST).flat_map(|a| (0..=LAST).map(move |b| (a, b)));
        let sums = pairs().filter(|(a, b)| a + b <= LAST).map(|(a, b)| Sum { a, b, plus: true });
        let differences = pairs().filter(|(a, b)| b <= a).map(|(a, b)| Sum { a, b, plus: false });
        sums.chain(differences).collect()
    }

    pub(crate) fn result(self) -> usize {
        if self.plus { self.a + self.b } else { self.a - self.b }
    }

    /// Whether the result is not also a part of the question, so that only who reckons can name it.
    pub(crate) fn is_telling(self) -> bool {
        ![self.a, self.b].contains(&self.result())
    }

    /// The sum as a question.
    pub(crate) fn lesson(self, rng: &mut Rng) -> Lesson {
        let Sum { a, b, plus } = self;
        let about = format!("{a} {} {b}", if plus { '+' } else { '-' });
        if a >= 2 && b >= 1 && self.result() >= 2 && rng.chance(30) {
            return self.tale(rng, about);
        }
        let digits = rng.chance(45);
        let (x, y, sign) = (number(a, digits), number(b, digits), if plus { "+" } else { "-" });
        let signed = if digits {
            format!("|what is {x} {sign} {y}?|{x} {sign} {y} = ?|how much is {x} {sign} {y}?|{x} {sign} {y}?")
        } else {
            String::new()
        };
        let questions = if plus {
            format!(
                "[what is {x} plus {y}?|how much is {x} plus {y}?|what is {x} and {y}?|how much is {x} and {y}?|\
                 what do {x} and {y} make?|add {x} and {y}.|{x} plus {y}?|please add {y} to {x}.|\
                 can you tell me what {x} plus {y} is?|do you know what {x} and {y} make?|\
                 if I add {y} to {x}, what do I get?|what is the sum of {x} and {y}?{signed}]"
            )
        } else {
            format!(
                "[what is {x} minus {y}?|how much is {x} minus {y}?|what is {x} take away {y}?|{x} minus {y}?|\
                 what is left of {x} when I take away {y}?|take {y} from {x}.|please take {y} away from {x}.|\
                 can you tell me what {x} minus {y} is?|do you know what {x} take away {y} is?|\
                 if I take {y} from {x}, what do I get?|how much is {x} less {y}?{signed}]"
            )
        };
        let answers = format!("[that is|it is|that makes|] <{}>.", NUMBERS[self.result()]);
        Lesson::new("sum", about, rng, &questions, &answers)
    }

    /// The sum as a tiny tale of things that come or go.
    fn tale(self, rng: &mut Rng, about: String) -> Lesson {
        const THINGS: &[&str] = &["apples", "nuts", "buttons", "shells", "coins", "plums", "pears", "marbles", "eggs"];
        const BIRDS: &[&str] = &["birds", "ducks", "crows", "sparrows", "pigeons", "frogs", "cats", "children", "hens"];
        let (a, b, r) = (NUMBERS[self.a], NUMBERS[self.b], NUMBERS[self.result()]);
        let things = rng.pick(THINGS).copied().unwrap_or("nuts");
        let birds = rng.pick(BIRDS).copied().unwrap_or("birds");
        let (come, go) = if self.b == 1 { ("comes", "goes") } else { ("come", "go") };
        let (question, answer) = match (self.plus, rng.chance(50)) {
            (true, true) => (
                format!(
                    "[I have {a} {things} and get {b} more. ^how many {things} do I have[ now|]?|\
                     I had {a} {things}, and then I found {b} more. ^how many {things} do I have now?]"
                ),
                format!("[you have|that makes] <{r}> {things}."),
            ),
            (true, false) => (
                format!("there are {a} {birds}, and {b} more {come}. ^how many {birds} are there [now|then]?"),
                format!("[there are|then there are] <{r}> {birds}."),
            ),
            (false, true) => (
                format!(
                    "[I have {a} {things} and give away {b}. ^how many {things} do I have [left|now]?|\
                     I had {a} {things} and lost {b}. ^how many are left?]"
                ),
                format!("[you have <{r}> {things} left|<{r}> {things} are left]."),
            ),
            (false, false) => (
                format!("there are {a} {birds}, and {b} {go} away. ^how many {birds} are left?"),
                format!("[there are <{r}> {birds} left|<{r}> {birds} are left]."),
            ),
        };
        Lesson::new("sum", about, rng, &question, &answer)
    }
}

/// A question about the order of the numbers.
pub(crate) fn counting(rng: &mut Rng) -> Lesson {
    let digits = rng.chance(35);
    match rng.below(9) {
        0 => after(rng, digits),
        1 => before(rng, digits),
        2 => between(rng, digits),
        3 | 4 => count_up(rng, digits),
        5 | 6 => count_down(rng, digits),
        7 => next_in_row(rng, digits),
        _ => compare(rng, digits),
    }
}

fn lesson(rng: &mut Rng, about: String, questions: &str, answers: &str) -> Lesson {
    Lesson::new("counting", about, rng, questions, answers)
}

fn after(rng: &mut Rng, digits: bool) -> Lesson {
    let n = rng.below(LAST);
    let x = number(n, digits);
    let questions = format!(
        "[what|which number] comes [after|right after] {x}?|what is the number after {x}?|what number follows {x}?|\
         what is the next number after {x}?|what comes next after {x}?|I count to {x}. ^which number is next?|\
         what is one more than {x}?|tell me the number after {x}."
    );
    lesson(rng, format!("after {n}"), &format!("[{questions}]"), &format!("[it is|that is|] <{}>.", NUMBERS[n + 1]))
}

fn before(rng: &mut Rng, digits: bool) -> Lesson {
    let n = 1 + rng.below(LAST);
    let x = number(n, digits);
    let questions = format!(
        "[what|which number] comes [before|right before] {x}?|what is the number before {x}?|\
         what is one less than {x}?|tell me the number before {x}.|what number is [just |]before {x}?"
    );
    lesson(rng, format!("before {n}"), &format!("[{questions}]"), &format!("[it is|that is|] <{}>.", NUMBERS[n - 1]))
}

fn between(rng: &mut Rng, digits: bool) -> Lesson {
    let n = 1 + rng.below(LAST - 1);
    let (x, y) = (number(n - 1, digits), number(n + 1, digits));
    let questions = format!(
        "[which number|what number|what] [is|comes|stands] between {x} and {y}?|what is between {x} and {y}?|\
         tell me the number between {x} and {y}."
    );
    lesson(rng, format!("between {n}"), &format!("[{questions}]"), &format!("[it is|that is|] <{}>.", NUMBERS[n]))
}

/// A row of numbers with commas, and the same in digits as another right way to say it.
fn row(numbers: &[usize]) -> String {
    let words: Vec<&str> = numbers.iter().map(|n| NUMBERS[*n]).collect();
    let digits: Vec<String> = numbers.iter().map(usize::to_string).collect();
    format!("<{};{}>.", words.join(", "), digits.join(", "))
}

fn count_up(rng: &mut Rng, digits: bool) -> Lesson {
    let from = if rng.chance(45) { 1 } else { 1 + rng.below(LAST - 2) };
    let to = (from + 2 + rng.below(9)).min(LAST);
    let (x, y) = (number(from, digits), number(to, digits));
    let to_only = if from == 1 {
        format!("|count to {y}[, please|].|can you count to {y}?|please count [up |]to {y}.|how do you count to {y}?")
    } else {
        String::new()
    };
    let questions = format!(
        "[count from {x} to {y}[, please|].|can you count from {x} to {y}?|please count from {x} [up |]to {y}.|\
         say the numbers from {x} to {y}.|which numbers go from {x} to {y}?{to_only}]"
    );
    lesson(rng, format!("{from} up to {to}"), &questions, &row(&(from..=to).collect::<Vec<_>>()))
}

fn count_down(rng: &mut Rng, digits: bool) -> Lesson {
    let to = if rng.chance(45) { 1 } else { 1 + rng.below(LAST - 2) };
    let from = (to + 2 + rng.below(9)).min(LAST);
    let (x, y) = (number(from, digits), number(to, digits));
    let questions = format!(
        "[count backwards from {x} to {y}[, please|].|can you count backwards from {x} to {y}?|\
         count down from {x} to {y}[, please|].|please count back from {x} to {y}.|can you count down from {x} to {y}?|\
         count from {x} down to {y}.]"
    );
    lesson(rng, format!("{from} down to {to}"), &questions, &row(&(to..=from).rev().collect::<Vec<_>>()))
}

fn next_in_row(rng: &mut Rng, digits: bool) -> Lesson {
    let down = rng.chance(40);
    let n = 2 + rng.below(LAST - 4);
    let shown: Vec<usize> = if down { vec![n + 2, n + 1, n] } else { vec![n - 1, n, n + 1] };
    let answer = if down { n - 1 } else { n + 2 };
    let said = shown.iter().map(|i| number(*i, digits)).collect::<Vec<_>>().join(", ");
    let questions =
        format!("[{said}. ^what comes next?|what comes next: {said}?|{said}, and then?|which number is next: {said}?]");
    lesson(rng, format!("next {shown:?}"), &questions, &format!("[it is|then comes|] <{}>.", NUMBERS[answer]))
}

fn compare(rng: &mut Rng, digits: bool) -> Lesson {
    let a = rng.below(LAST + 1);
    let b = loop {
        let b = rng.below(LAST + 1);
        if b != a {
            break b;
        }
    };
    let (x, y, more) = (number(a, digits), number(b, digits), rng.chance(50));
    let about = format!("{} {a} {b}", if more { "more" } else { "less" });
    let (word, bigger) = if more { ("[more|bigger|larger]", a > b) } else { ("[less|smaller]", a < b) };
    if rng.chance(50) {
        let (yes, than) = if bigger { ("yes", "is") } else { ("no", "is not") };
        let word = if more { "more" } else { "less" };
        let asked = if more { "[more|bigger|greater]" } else { "[less|smaller]" };
        let (wx, wy) = (NUMBERS[a], NUMBERS[b]);
        return lesson(
            rng,
            about,
            &format!("is {x} {asked} than {y}?"),
            &format!("<{yes}>, {wx} {than} {word} than {wy}."),
        );
    }
    let right = NUMBERS[if bigger { a } else { b }];
    lesson(
        rng,
        about,
        &format!("[which is|what is|which number is] {word}, {x} or {y}?"),
        &format!("[it is <{right}>|<{right}> is {}].", if more { "more" } else { "less" }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_and_difference_up_to_twenty_is_there_once() {
        let all = Sum::all();
        assert_eq!(all.iter().filter(|s| s.plus).count(), 21 * 22 / 2);
        assert_eq!(all.iter().filter(|s| !s.plus).count(), 21 * 22 / 2);
        assert!(all.iter().all(|s| s.result() <= LAST));
    }

    #[test]
    fn the_answer_to_a_sum_is_its_result() {
        let mut rng = Rng::new(1);
        for sum in Sum::all() {
            let lesson = sum.lesson(&mut rng);
            assert_eq!(lesson.fact.accept[0], NUMBERS[sum.result()], "{}", lesson.fact.question);
            let said: Vec<&str> = lesson.about.split(' ').collect();
            let (a, b): (usize, usize) = (said[0].parse().unwrap(), said[2].parse().unwrap());
            assert_eq!(sum.result(), if said[1] == "+" { a + b } else { a - b });
        }
    }

    #[test]
    fn counting_goes_one_by_one() {
        let mut rng = Rng::new(2);
        for _ in 0..300 {
            let up = count_up(&mut rng, false);
            let said: Vec<usize> = up.fact.accept[1].split(' ').map(|n| n.parse().unwrap()).collect();
            assert!(said.windows(2).all(|pair| pair[1] == pair[0] + 1), "{}", up.fact.answer);
            let down = count_down(&mut rng, false);
            let said: Vec<usize> = down.fact.accept[1].split(' ').map(|n| n.parse().unwrap()).collect();
            assert!(said.windows(2).all(|pair| pair[1] + 1 == pair[0]), "{}", down.fact.answer);
        }
    }
}
