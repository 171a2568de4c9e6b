//! The names that characters are given: so many that no name can stand for one animal, one home or one story.

/// Names for girls and for animals that are "she".
pub(crate) static SHE: &[&str] = &[
    "Ada", "Alma", "Amy", "Anna", "Bea", "Bella", "Betty", "Carla", "Clara", "Cora", "Dora", "Edith", "Ella", "Elsa",
    "Emma", "Erin", "Esther", "Eva", "Fanny", "Fiona", "Flora", "Frida", "Gerda", "Greta", "Hanna", "Helen", "Hetty",
    "Ida", "Ines", "Iris", "Jane", "Jenny", "Jill", "Judy", "Julia", "Kate", "Kim", "Lara", "Lena", "Lily", "Lisa",
    "Lotta", "Lucy", "Lulu", "Mara", "Maya", "Meg", "Mia", "Milly", "Mina", "Molly", "Nancy", "Nell", "Nina", "Nora",
    "Olga", "Paula", "Penny", "Petra", "Polly", "Rita", "Rosa", "Ruth", "Sally", "Sara", "Selma", "Stella", "Susan",
    "Tara", "Tessa", "Tilda", "Tina", "Una", "Vera", "Wanda", "Wilma", "Yara", "Zoe",
];

/// Names for boys and for animals that are "he".
pub(crate) static HE: &[&str] = &[
    "Adam", "Albert", "Alec", "Anton", "Arno", "Ben", "Bill", "Bobby", "Bruno", "Carl", "Dan", "David", "Eddie",
    "Emil", "Eric", "Felix", "Finn", "Frank", "Fred", "George", "Gus", "Hans", "Harry", "Henry", "Hugo", "Igor",
    "Ivan", "Jack", "Jacob", "Jim", "Joe", "John", "Jonas", "Kit", "Kurt", "Lars", "Leo", "Louis", "Luke", "Marco",
    "Martin", "Max", "Milo", "Ned", "Nico", "Noah", "Nils", "Oliver", "Omar", "Oscar", "Otto", "Paul", "Percy",
    "Peter", "Phil", "Ralph", "Robert", "Roger", "Roy", "Sam", "Simon", "Steve", "Sven", "Ted", "Theo", "Tim", "Toby",
    "Todd", "Tom", "Tony", "Victor", "Viggo", "Walter", "Willy", "Zack",
];

/// Further names that only animals have.
pub(crate) static PET_SHE: &[&str] =
    &["Bubbles", "Dot", "Flicka", "Fluffy", "Minnie", "Mopsy", "Peppa", "Pinky", "Tansy", "Winnie", "Zuzu", "Kiki"];

/// The same for those that are "he".
pub(crate) static PET_HE: &[&str] =
    &["Bart", "Bingo", "Buster", "Captain", "Dusty", "Flip", "Gizmo", "Pip", "Rusty", "Scruff", "Toffee", "Tuck"];

/// Family names of the grown-ups.
pub(crate) static FAMILY: &[&str] = &[
    "Abel", "Baxter", "Blum", "Dale", "Ellis", "Fisk", "Gray", "Hale", "Holt", "Jensen", "Keller", "Lane", "Marlow",
    "Nash", "Olsen", "Page", "Plum", "Quill", "Reed", "Rowan", "Sanders", "Tock", "Vale", "Webb", "York",
];
