"""Genres of cards for people: greetings, invitations, quotes."""

from __future__ import annotations

from inkwash.scenes.card_genre import genre

genre(
    "birthday",
    "birthday card | birthday greeting | card for a birthday",
    "Happy Birthday {name} | Happy Birthday | HAPPY BIRTHDAY! | {age} today! | Hip hip hooray"
    " | You are {age}! | {name} is {age} | Happy {age}th, {name} | Alles Gute {name}"
    " | Joyeux anniversaire | Feliz cumpleaños | It's your day",
    "Make a wish | Have a wonderful day, {name} | Eat cake, be happy | Another year of adventures"
    " | Let's celebrate you | Wishing you {n} more | Best {w} ever",
    "Love, {name} & {name} | From all of us | with hugs from {place} | {date} | xoxo",
    things="balloon | cake | gift | party popper | confetti ball | candle | bear | crown",
    colors="pink | light blue | yellow | cream | light green | white | purple",
)  # fmt: skip

genre(
    "party",
    "party invitation | party flyer | invitation to a party",
    "You're invited! | Let's party | PARTY TIME | Pool party | Summer party at {place} | {W} PARTY"
    " | Come and dance | Garden party | Karaoke night",
    "{name}'s house, {time} | Bring a {w} and a friend | Dress code: {w} | Snacks, music, games",
    "{date}, {time} | RSVP {phone} | {day} {time} | Free entry",
    things="balloon | party popper | confetti ball | cocktail | pizza | music note | gift",
    colors="purple | navy | pink | orange | black | teal | yellow",
)  # fmt: skip

genre(
    "wedding",
    "wedding invitation | wedding card | invitation to our wedding",
    "{name} & {name} | {name} and {name} | We're getting married | Save the date | Just married"
    " | Our wedding",
    "{place}, {date} | Join us for dinner and dancing | Together with their families | Old Mill, {place}"
    " | request the pleasure of your company",
    "{date} | {time} | Chapel of {place} | {url} | RSVP by {date}",
    things="ring | bell | flower | rose | cocktail",
    colors="white | cream | light green | pink | light blue",
)  # fmt: skip

genre(
    "thank_you",
    "thank-you card | thank you note | card to say thanks",
    "Thank you! | Thanks, {name} | Thank you so much | MERCI | Danke schön | Gracias | Many thanks"
    " | You're the best",
    "for everything you do | You made my {w} | We couldn't have done it without you | for the lovely {w}",
    "Yours, {name} | {name} + {name} | The {w} crew",
    things="flower | sun | bee | gift | tulip | sunflower",
    colors="cream | white | light blue | light green | pink | yellow",
)  # fmt: skip

genre(
    "baby",
    "baby shower invitation | birth announcement | baby card",
    "Welcome {name} | It's a girl | It's a boy | Hello little {w} | Baby shower | Oh baby! | Tiny toes",
    "Born in {place} | {n} grams of joy | A new star is born | for {name} and {name}",
    "{date} | {time} | {day}, {time} | {year}",
    things="bear | moon | chicken | balloon",
    colors="light blue | pink | cream | light green | white | yellow",
)  # fmt: skip

genre(
    "christmas",
    "Christmas card | Christmas greeting | holiday card",
    "Merry Christmas | MERRY CHRISTMAS | Merry Christmas, {name} | Frohe Weihnachten | Joyeux Noël"
    " | Feliz Navidad | Let it snow | Ho ho ho! | Season's greetings | God Jul",
    "and a happy {year} | Peace, joy and cookies | Warm wishes from {place} | May your days be {w}",
    "from the {w} family | {name}, {name} & {name} | December {year}",
    things="christmas tree | gift | snowman | bell | snowflake | candle | house",
    colors="red | green | white | navy | cream | light blue",
)  # fmt: skip

genre(
    "new_year",
    "New Year card | New Year greeting | New Year's Eve poster",
    "Happy New Year | HAPPY NEW YEAR {year} | Hello {year} | Cheers to {year} | Bonne année"
    " | Frohes Neues Jahr | Goodbye {year}",
    "New year, new {w} | Make it count, {name} | Twelve new chapters",
    "{year} | From {name} | {place}, {time}",
    things="party popper | cocktail | clock | balloon",
    colors="navy | black | purple | white | teal",
)  # fmt: skip

genre(
    "halloween",
    "Halloween poster | Halloween card | Halloween party flyer",
    "BOO! | Happy Halloween | Trick or treat | HALLOWEEN | Spooky night | Haunted house"
    " | Beware of the {w}",
    "Costumes welcome | If you dare, {name} | Scary {w} all night | Pumpkins for sale",
    "{date}, {time} | {price} per ticket | until midnight",
    things="pumpkin | ghost | owl | spider | moon | cat | skull",
    colors="orange | black | purple | navy | green",
)  # fmt: skip

genre(
    "easter",
    "Easter card | Easter greeting | spring card",
    "Happy Easter | HAPPY EASTER | Frohe Ostern | Joyeuses Pâques | Egg hunt | Hello spring"
    " | Hoppy Easter",
    "Hop, hop, hooray | {n} eggs are hidden | Bring a basket, {name}",
    "{date} at {time} | with love from {name} | in the {w} garden",
    things="rabbit | egg | chicken | tulip | flower | butterfly | owl",
    colors="light green | yellow | pink | light blue | cream | white",
)  # fmt: skip

genre(
    "valentine",
    "Valentine's card | love card | Valentine",
    "I love you | Be mine | Je t'aime | LOVE | Te quiero | You + me | Ich liebe dich | {name} + {name}"
    " | My heart is yours",
    "Happy Valentine's Day | You make me {w} | Forever and a {w} | to the moon and back",
    "Yours, {name} | always | {date}",
    things="rose | bear | envelope | owl | ring",
    colors="pink | red | white | cream | purple",
)  # fmt: skip

genre(
    "mothers_day",
    "Mother's Day card | card for my mum | card for grandma",
    "Best mum ever | Happy Mother's Day | I love you, Mum | Dear Grandma | For my mother"
    " | World's best {w}",
    "Thank you for the hugs | You are my sunshine | Breakfast is ready, {name}",
    "your {name} | {date} | {name} & {name}",
    things="flower | tulip | rose | coffee | cake | sun | butterfly",
    colors="pink | cream | light blue | white | yellow | light green",
)  # fmt: skip

genre(
    "get_well",
    "get-well card | get well soon card | card to cheer someone up",
    "Get well soon | Get well, {name}! | Gute Besserung | Feel better | Cheer up, {name} | Sending hugs",
    "We miss you at {w} club | Soup and sleep help | Chin up, buttercup",
    "from the team | {name} | your friends in {place}",
    things="flower | sun | bear | tea | cooking pot | rainbow | dog",
    colors="light green | yellow | light blue | cream | white",
)  # fmt: skip

genre(
    "graduation",
    "graduation card | graduation invitation | certificate",
    "Congrats, {name}! | Class of {year} | Congratulations | We did it | The future is {w}"
    " | Félicitations",
    "Proud of you, {name} | {place} High School | Onwards and upwards",
    "{date} | {time}, Hall {n} | {year}",
    things="book | trophy | medal | party popper | rocket",
    colors="navy | white | cream | teal | light blue | black",
)  # fmt: skip

genre(
    "postcard",
    "postcard | greeting from a trip",
    "Greetings from {place} | Wish you were here | {place} | Grüße aus {place} | Aloha!"
    " | Saludos de {place}",
    "The {w} is lovely | See you soon, {name} | Sun all day, {w} all night",
    "{date} | your {name} | {place}, {year}",
    things="palm tree | sun | wave | ship | mountain | ice cream | airplane | fish",
    colors="light blue | yellow | white | teal | cream | pink",
)  # fmt: skip

genre(
    "welcome",
    "welcome sign | welcome banner | doormat design",
    "Welcome | Welcome, {name}! | Willkommen | Bienvenue | Bienvenidos | Hello {place} | home sweet {w}"
    " | Come on in | Hi there",
    "to our {w} | shoes off, please | the {w} family | {n} {w} Road",
    "est. {year} | {name} & {name} | {place}",
    things="house | flower | sun | dog | cat | key | leaf",
    colors="cream | brown | teal | white | yellow | light green",
)  # fmt: skip

genre(
    "coupon",
    "coupon | voucher | gift voucher",
    "Free {w} | {price} off | Gift voucher | Good for one {w} | Gutschein | {pct}% | Bon cadeau"
    " | one free hug",
    "for {name}, from {name} | valid until {date} | for any {w} in the shop | show this card",
    "code {L}{n}{L}{n} | {url} | No. {n}",
    things="gift | coffee | pizza | ice cream | flower",
    colors="pink | yellow | white | red | teal | cream",
    structures="ticket",
)  # fmt: skip

genre(
    "award",
    "award ribbon | certificate of merit | winner's banner | prize ribbon",
    "1st prize | WINNER | Best in show | {name} wins | Champion {year} | Best {w} | No. {n} | Gold {w}"
    " | Bravo!",
    "for the loudest {w} | presented to {name} | {w} contest, {place}",
    "{year} | {date} | jury: {name}",
    things="trophy | medal | crown | flower | party popper | cake",
    colors="navy | red | cream | white | green | yellow",
    structures="ribbon",
)  # fmt: skip

genre(
    "letter",
    "letter | monogram | logo with a letter | alphabet card",
    "{L} | {L}{L} | {L} & {L} | {L}{n} | {n}",
    "{L} is for {w} | {w} | Capital {L}",
    "{w} | No. {n}",
    things="apple | bee | cat | fish | crown",
    colors="white | yellow | light blue | red | navy | cream",
)  # fmt: skip

genre(
    "quote",
    "motivational poster | quote poster | inspirational quote | print with a quote",
    "Dream big | Never give up | One step at a time | Stay {w} | Be the {w} | Keep calm and {w}"
    " | Do more {w} | Less is more | C'est la vie | Carpe diem | Slow down",
    "Every day is a new {w} | What you {w} is what you get | Small steps are still steps"
    " | It's never too late to {w} | Don't count the {w}, {w} the count",
    "{name} {w} | {name} | {year}",
    things="mountain | sun | rocket | tree | flower | wave | rainbow | leaf",
    colors="white | navy | cream | teal | light blue | orange | black",
)  # fmt: skip

genre(
    "weather",
    "weather card | forecast graphic | weather widget",
    "{place} {n} C | Sunny | Rain later | {n} C | Stormy {day} | Snow in {place} | Windy",
    "feels like {n} C | {pct}% rain | sunrise {time} | take an umbrella, {name}",
    "{day} | {date} | wind {n} km/h",
    things="sun | cloud | umbrella | snowflake | lightning | rainbow | moon",
    colors="light blue | blue | navy | gray | white | orange",
)  # fmt: skip

genre(
    "todo",
    "to-do list | shopping list | checklist | packing list",
    "To do | Shopping list | Packing list | Weekend plan | {name}'s list | Don't forget!",
    "call {name} | {n} apples | buy {w} | feed the {w} | milk, {w} | water plants | pay {price}"
    " | sunscreen | fix the {w}",
    "due {day} | {date} | done: {n} / {n}",
    things="pencil | carrot | egg | apple | clock",
    colors="yellow | white | cream | light blue | pink",
    structures="paper",
)  # fmt: skip

genre(
    "animals",
    "zoo poster | nature poster | kids' animal card | nursery print",
    "{w} the cat | Meet {name} | Wild {w} | Save the {w} | My friend {name} | Sleep tight | Hello, {w}!"
    " | Zoo {place}",
    "a {w} never forgets | feeding at {time} | quack, moo, {w} | be wild, {name}",
    "adopt me: {url} | {day} {time} | age {age}",
    things="cat | dog | panda | fox | penguin | owl | rabbit | turtle | fish | bee",
    colors="light green | light blue | cream | yellow | teal | white",
)  # fmt: skip
