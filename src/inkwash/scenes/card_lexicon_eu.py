"""What German, French and Spanish call the parts of a card; no form needs a gender or a case beyond these tables."""

from __future__ import annotations

from inkwash.scenes.card_genre import parts
from inkwash.scenes.card_lexicon import Lexicon

COMMON = (
    "cat", "dog", "rabbit", "fish", "bee", "apple", "lemon", "strawberry", "pizza", "cake", "coffee", "balloon", "gift",
    "candle", "crown", "rose", "flower", "leaf", "tree", "sun", "moon", "rainbow", "cloud", "snowman", "umbrella",
    "fire", "mountain", "house", "car", "train", "airplane", "rocket", "ship", "book", "guitar", "camera",
    "key", "bell",
    "clock", "robot", "ghost", "pumpkin", "christmas tree", "ice cream", "music note", "football", "butterfly",
)  # fmt: skip


def _things(singular: str, plural: str) -> dict[str, tuple[str, str]]:
    return dict(zip(COMMON, zip(parts(singular), parts(plural), strict=True), strict=True))


def _shapes(names: str, plural: str) -> dict[str, tuple[str, str]]:
    keys = ("circle", "square", "triangle", "star", "heart", "diamond")
    return dict(zip(keys, zip(parts(names), parts(plural), strict=True), strict=True))


def _colors(names: str) -> dict[str, tuple[str, ...]]:
    keys = (
        "white", "black", "red", "blue", "green", "yellow", "orange", "purple", "pink", "gray", "cream", "light blue",
        "light green", "navy", "brown", "teal",
    )  # fmt: skip
    return {key: tuple(name.split("/")) for key, name in zip(keys, parts(names), strict=True)}


GERMAN = Lexicon(
    code="de",
    colors=_colors(
        "weiß | schwarz | rot/knallrot | blau | grün | gelb/gold | orange | lila/violett | rosa/pink | grau"
        " | beige/cremefarben | hellblau/himmelblau | hellgrün/mintgrün | dunkelblau/marineblau | braun | petrol/türkis"
    ),
    backgrounds=("Hintergrund {c}", "Hintergrund: {c}", "Hintergrundfarbe {c}", "der Hintergrund ist {c}"),
    background_sentences=("Der Hintergrund ist {c}", "Hintergrund {c}", "Der Hintergrund soll {c} sein"),
    text_color=("{q} ({c})", "{q} in {c}", "{q} (in {c})"),
    text_how=("{q} ({how})",),
    all_text=("Schrift {c}", "Buchstaben {c}", "Text in {c}", "Schriftfarbe {c}"),
    glue=", ",
    sizes={"large": ("groß", "sehr groß", "riesig"), "small": ("klein", "ganz klein")},
    faces={
        "wide": ("breit", "fett"), "serif": ("mit Serifen", "Serifenschrift"), "slab": ("Schreibmaschinenschrift",),
        "round": ("rund", "abgerundet"), "hand": ("handgeschrieben", "Handschrift"), "poster": ("Plakatschrift",),
        "cjk": ("chinesisch",),
    },
    shapes=_shapes(
        "ein Kreis | ein Quadrat | ein Dreieck | ein Stern | ein Herz | eine Raute",
        "Kreise | Quadrate | Dreiecke | Sterne | Herzen | Rauten",
    ),
    things=_things(
        "eine Katze | ein Hund | ein Hase | ein Fisch | eine Biene | ein Apfel | eine Zitrone | eine Erdbeere"
        " | eine Pizza"
        " | eine Torte | ein Kaffee | ein Luftballon | ein Geschenk | eine Kerze | eine Krone | eine Rose | eine Blume"
        " | ein Blatt | ein Baum | eine Sonne | ein Mond | ein Regenbogen | eine Wolke | ein Schneemann"
        " | ein Regenschirm | ein Feuer | ein Berg | ein Haus | ein Auto | ein Zug | ein Flugzeug | eine Rakete"
        " | ein Schiff | ein Buch | eine Gitarre | eine Kamera | ein Schlüssel | eine Glocke | eine Uhr | ein Roboter"
        " | ein Gespenst | ein Kürbis | ein Weihnachtsbaum | ein Eis | eine Musiknote | ein Fußball"
        " | ein Schmetterling",
        "Katzen | Hunde | Hasen | Fische | Bienen | Äpfel | Zitronen | Erdbeeren | Pizzen | Torten | Kaffeetassen"
        " | Luftballons | Geschenke | Kerzen | Kronen | Rosen | Blumen | Blätter | Bäume | Sonnen | Monde | Regenbögen"
        " | Wolken | Schneemänner | Regenschirme | Feuer | Berge | Häuser | Autos | Züge | Flugzeuge | Raketen"
        " | Schiffe"
        " | Bücher | Gitarren | Kameras | Schlüssel | Glocken | Uhren | Roboter | Gespenster | Kürbisse"
        " | Weihnachtsbäume | Eistüten | Musiknoten | Fußbälle | Schmetterlinge",
    ),
    thing_sizes={"small": ("klein",), "large": ("groß", "riesig")},
    counts={2: ("zwei", "2"), 3: ("drei", "3"), 4: ("vier", "4"), 5: ("fünf", "5"), 6: ("sechs", "6")},
    several=("", "einige ", "ein paar "),
    places={
        "above": ("oben", "über dem Text"), "below": ("unten", "unter dem Text"), "left": ("links",),
        "right": ("rechts",), "corners": ("in den Ecken",), "sides": ("auf beiden Seiten", "links und rechts"),
    },
    bare_places={
        "above": ("oben",), "below": ("unten",), "left": ("links",), "right": ("rechts",), "corners": ("in den Ecken",),
        "sides": ("auf beiden Seiten",),
    },
    styles={
        "flat": ("einfarbig",), "gradient": ("mit Farbverlauf",), "striped": ("gestreift", "mit Streifen"),
        "dotted": ("gepunktet", "mit Punkten"), "paper": ("mit Papierstruktur",),
    },
    structures={
        "plain": ("ganz schlicht, ohne Rahmen",), "frame": ("mit Rahmen", "in einem Rahmen"),
        "band": ("auf einem Band", "mit einem Balken"), "paper": ("auf einem Blatt Papier", "auf einem Zettel"),
        "bubble": ("in einer Sprechblase",), "chalkboard": ("auf einer Tafel", "auf einer Kreidetafel"),
        "ticket": ("als Ticket", "auf einer Eintrittskarte"), "slide": ("als Folie", "als Präsentationsfolie"),
        "menu": ("als Speisekarte",), "post": ("auf einem Schild am Pfosten",), "label": ("auf einem Etikett",),
        "ribbon": ("auf einer Schleife", "auf einem Spruchband"),
    },
    panels={},
    structure_sentences=("Alles {s}", "Bitte {s}", "Das Ganze {s}"),
    thing_clauses=("mit Bild: {O}", "dazu {O}", "{O}", "und {O}", "außerdem {O}"),
    thing_sentences=("Dazu {O}", "Außerdem {O}", "Bilder: {O}", "Und noch {O}"),
    nouns=("Plakat", "Schild", "Bild", "Karte", "Poster", "Grafik"),
    genres={
        "birthday": ("Geburtstagskarte",), "wedding": ("Hochzeitseinladung", "Hochzeitskarte"),
        "menu": ("Speisekarte",),
        "party": ("Einladung zur Party", "Partyeinladung"), "christmas": ("Weihnachtskarte",), "sale": ("Werbeplakat",),
        "thank_you": ("Dankeskarte",), "concert": ("Konzertplakat",), "travel": ("Reiseplakat",), "logo": ("Logo",),
        "business_card": ("Visitenkarte",), "ticket": ("Eintrittskarte",), "slide": ("Folie",),
        "book": ("Buchumschlag",),
        "sign": ("Türschild", "Schild"), "notice": ("Aushang",), "recipe": ("Rezept",), "price_tag": ("Preisschild",),
        "welcome": ("Willkommensschild",), "movie": ("Filmplakat",), "postcard": ("Postkarte",),
        "coupon": ("Gutschein",),
        "speech": ("Comic",), "sticker": ("Aufkleber",), "easter": ("Osterkarte",), "lost_pet": ("Suchzettel",),
    },
    joins=((", ", " und "), (", ", ", "), (" und ", " und "), (" / ", " / "), (", darunter ", " und darunter ")),
    no_text=("ohne Text", "kein Text", "ohne Schrift"),
    quotes=("„“",) * 10 + ('""',) * 8 + ("»«", "‚‘"),
)  # fmt: skip

FRENCH = Lexicon(
    code="fr",
    colors=_colors(
        "blanc | noir | rouge | bleu | vert | jaune/or | orange | violet | rose | gris | crème/beige"
        " | bleu clair/bleu ciel"
        " | vert clair/vert menthe | bleu marine/bleu foncé | marron | bleu canard/turquoise"
    ),
    backgrounds=("fond {c}", "sur fond {c}", "avec un fond {c}", "arrière-plan {c}"),
    background_sentences=("Le fond est {c}", "Fond {c}", "Sur fond {c}"),
    text_color=("{q} en {c}", "{q} ({c})", "{q} en lettres de couleur {c}"),
    text_how=("{q} ({how})",),
    all_text=("texte en {c}", "lettres en {c}", "le texte en {c}"),
    glue=", ",
    sizes={"large": ("en grand", "très grand", "grosses lettres"), "small": ("en petit", "petites lettres")},
    faces={
        "wide": ("lettres larges",), "serif": ("avec empattements",), "slab": ("machine à écrire",),
        "round": ("lettres arrondies",), "hand": ("manuscrit", "écriture à la main"), "poster": ("style affiche",),
        "cjk": ("en chinois",),
    },
    shapes=_shapes(
        "un cercle | un carré | un triangle | une étoile | un cœur | un losange",
        "cercles | carrés | triangles | étoiles | cœurs | losanges",
    ),
    things=_things(
        "un chat | un chien | un lapin | un poisson | une abeille | une pomme | un citron | une fraise | une pizza"
        " | un gâteau | un café | un ballon | un cadeau | une bougie | une couronne | une rose | une fleur"
        " | une feuille"
        " | un arbre | un soleil | une lune | un arc-en-ciel | un nuage | un bonhomme de neige | un parapluie | un feu"
        " | une montagne | une maison | une voiture | un train | un avion | une fusée | un bateau | un livre"
        " | une guitare"
        " | un appareil photo | une clé | une cloche | une horloge | un robot | un fantôme | une citrouille"
        " | un sapin de Noël | une glace | une note de musique | un ballon de foot | un papillon",
        "chats | chiens | lapins | poissons | abeilles | pommes | citrons | fraises | pizzas | gâteaux | cafés"
        " | ballons"
        " | cadeaux | bougies | couronnes | roses | fleurs | feuilles | arbres | soleils | lunes | arcs-en-ciel"
        " | nuages"
        " | bonshommes de neige | parapluies | feux | montagnes | maisons | voitures | trains | avions | fusées"
        " | bateaux"
        " | livres | guitares | appareils photo | clés | cloches | horloges | robots | fantômes | citrouilles"
        " | sapins de Noël | glaces | notes de musique | ballons de foot | papillons",
    ),
    thing_sizes={"small": ("en petit",), "large": ("en grand", "très grand")},
    counts={2: ("deux", "2"), 3: ("trois", "3"), 4: ("quatre", "4"), 5: ("cinq", "5"), 6: ("six", "6")},
    several=("des ", "quelques "),
    places={
        "above": ("en haut", "au-dessus du texte"), "below": ("en bas", "sous le texte"), "left": ("à gauche",),
        "right": ("à droite",), "corners": ("dans les coins",), "sides": ("des deux côtés", "à gauche et à droite"),
    },
    bare_places={
        "above": ("en haut",), "below": ("en bas",), "left": ("à gauche",), "right": ("à droite",),
        "corners": ("dans les coins",), "sides": ("des deux côtés",),
    },
    styles={
        "flat": ("couleur unie",), "gradient": ("en dégradé", "fond dégradé"), "striped": ("à rayures",),
        "dotted": ("à pois",), "paper": ("texture papier",),
    },
    structures={
        "plain": ("tout simple, sans cadre",), "frame": ("avec un cadre", "dans un cadre"), "band": ("sur un bandeau",),
        "paper": ("sur une feuille de papier",), "bubble": ("dans une bulle",), "chalkboard": ("sur une ardoise",),
        "ticket": ("sous forme de billet",), "slide": ("en diapositive",), "menu": ("en forme de menu",),
        "post": ("sur un panneau avec un poteau",), "label": ("sur une étiquette",), "ribbon": ("sur un ruban",),
    },
    panels={},
    structure_sentences=("Le tout {s}", "Le texte {s}"),
    thing_clauses=("avec {O}", "et {O}", "{O}", "plus {O}"),
    thing_sentences=("Avec {O}", "Ajoute {O}", "Il y a aussi {O}"),
    nouns=("affiche", "carte", "image", "panneau", "pancarte"),
    genres={
        "birthday": ("carte d'anniversaire",), "wedding": ("faire-part de mariage",), "menu": ("menu de restaurant",),
        "party": ("invitation à une fête",), "christmas": ("carte de Noël",), "sale": ("affiche de soldes",),
        "thank_you": ("carte de remerciement",), "concert": ("affiche de concert",), "travel": ("affiche de voyage",),
        "logo": ("logo",), "business_card": ("carte de visite",), "ticket": ("billet",), "slide": ("diapositive",),
        "book": ("couverture de livre",), "notice": ("avis",), "recipe": ("recette",),
        "price_tag": ("étiquette de prix",),
        "movie": ("affiche de film",), "postcard": ("carte postale",), "coupon": ("bon cadeau",),
        "valentine": ("carte d'amour",),
    },
    joins=((", ", " et "), (", ", ", "), (" et ", " et "), (" / ", " / "), (", en dessous ", " et en dessous ")),
    no_text=("sans texte", "aucun texte"),
    quotes=("«»",) * 10 + ('""',) * 8 + ("“”",) * 3,
)  # fmt: skip

SPANISH = Lexicon(
    code="es",
    colors=_colors(
        "blanco | negro | rojo | azul | verde | amarillo/dorado | naranja | morado/violeta | rosa | gris | crema/beige"
        " | azul claro/celeste | verde claro/verde menta | azul marino/azul oscuro | marrón | verde azulado/turquesa"
    ),
    backgrounds=("fondo {c}", "sobre fondo {c}", "con fondo {c}", "fondo de color {c}"),
    background_sentences=("El fondo es {c}", "Fondo {c}", "Con fondo {c}"),
    text_color=("{q} en {c}", "{q} ({c})", "{q} en letras de color {c}"),
    text_how=("{q} ({how})",),
    all_text=("texto en {c}", "letras en {c}", "todo el texto en {c}"),
    glue=", ",
    sizes={"large": ("en grande", "muy grande", "letras grandes"), "small": ("en pequeño", "letras pequeñas")},
    faces={
        "wide": ("letras anchas",), "serif": ("con serifa",), "slab": ("máquina de escribir",),
        "round": ("letras redondeadas",), "hand": ("escrito a mano", "manuscrito"), "poster": ("estilo cartel",),
        "cjk": ("en chino",),
    },
    shapes=_shapes(
        "un círculo | un cuadrado | un triángulo | una estrella | un corazón | un rombo",
        "círculos | cuadrados | triángulos | estrellas | corazones | rombos",
    ),
    things=_things(
        "un gato | un perro | un conejo | un pez | una abeja | una manzana | un limón | una fresa | una pizza"
        " | un pastel"
        " | un café | un globo | un regalo | una vela | una corona | una rosa | una flor | una hoja | un árbol | un sol"
        " | una luna | un arcoíris | una nube | un muñeco de nieve | un paraguas | un fuego | una montaña | una casa"
        " | un coche | un tren | un avión | un cohete | un barco | un libro | una guitarra | una cámara | una llave"
        " | una campana | un reloj | un robot | un fantasma | una calabaza | un árbol de Navidad | un helado"
        " | una nota musical | un balón de fútbol | una mariposa",
        "gatos | perros | conejos | peces | abejas | manzanas | limones | fresas | pizzas | pasteles | cafés | globos"
        " | regalos | velas | coronas | rosas | flores | hojas | árboles | soles | lunas | arcoíris | nubes"
        " | muñecos de nieve | paraguas | fuegos | montañas | casas | coches | trenes | aviones | cohetes | barcos"
        " | libros | guitarras | cámaras | llaves | campanas | relojes | robots | fantasmas | calabazas"
        " | árboles de Navidad | helados | notas musicales | balones de fútbol | mariposas",
    ),
    thing_sizes={"small": ("en pequeño",), "large": ("en grande", "muy grande")},
    counts={2: ("dos", "2"), 3: ("tres", "3"), 4: ("cuatro", "4"), 5: ("cinco", "5"), 6: ("seis", "6")},
    several=("", "unos cuantos: ", "varios: "),
    places={
        "above": ("arriba", "encima del texto"), "below": ("abajo", "debajo del texto"), "left": ("a la izquierda",),
        "right": ("a la derecha",), "corners": ("en las esquinas",), "sides": ("a ambos lados",),
    },
    bare_places={
        "above": ("arriba",), "below": ("abajo",), "left": ("a la izquierda",), "right": ("a la derecha",),
        "corners": ("en las esquinas",), "sides": ("a ambos lados",),
    },
    styles={
        "flat": ("color liso",), "gradient": ("con degradado", "fondo degradado"), "striped": ("a rayas",),
        "dotted": ("con lunares",), "paper": ("textura de papel",),
    },
    structures={
        "plain": ("muy sencillo, sin marco",), "frame": ("con marco", "en un marco"), "band": ("sobre una franja",),
        "paper": ("en una hoja de papel",), "bubble": ("en un bocadillo", "en un globo de diálogo"),
        "chalkboard": ("en una pizarra",), "ticket": ("en forma de entrada",), "slide": ("como diapositiva",),
        "menu": ("en forma de menú",), "post": ("en un letrero con poste",), "label": ("en una etiqueta",),
        "ribbon": ("en una cinta",),
    },
    panels={},
    structure_sentences=("Todo {s}", "El texto {s}"),
    thing_clauses=("con {O}", "y también {O}", "{O}", "además {O}"),
    thing_sentences=("Con {O}", "Añade {O}", "También {O}"),
    nouns=("cartel", "tarjeta", "imagen", "letrero", "póster"),
    genres={
        "birthday": ("tarjeta de cumpleaños",), "wedding": ("invitación de boda",), "menu": ("menú de restaurante",),
        "party": ("invitación a una fiesta",), "christmas": ("tarjeta de Navidad",), "sale": ("cartel de rebajas",),
        "thank_you": ("tarjeta de agradecimiento",), "concert": ("cartel de concierto",),
        "travel": ("cartel de viaje",),
        "logo": ("logo",), "business_card": ("tarjeta de visita",), "ticket": ("entrada",), "slide": ("diapositiva",),
        "book": ("portada de libro",), "notice": ("aviso",), "recipe": ("receta",),
        "price_tag": ("etiqueta de precio",),
        "movie": ("cartel de cine",), "postcard": ("postal",), "coupon": ("vale",), "valentine": ("tarjeta de amor",),
    },
    joins=((", ", " y "), (", ", ", "), (" y ", " y "), (" / ", " / "), (", debajo ", " y debajo ")),
    no_text=("sin texto", "sin letras"),
    quotes=("«»",) * 5 + ('""',) * 10 + ("“”",) * 5,
)  # fmt: skip
