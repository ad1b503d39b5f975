"""Common English words for the tokenizer, so that ordinary prompts stay short."""

COMMON_WORDS = """
a an the and or but if then than so as at by for from in into of off on onto out over to under up down with
without about above across after against along among around before behind below beneath beside between
beyond during except inside near outside past since through toward until upon within i you he she it we they
me him her us them my your his its our their this that these those who whom whose which what when where why
how all any both each every few many more most much no none not only other own same some such too very is am
are was were be been being do does did done have has had having can could may might must shall should will
would make made making take took taken give gave given get got go went gone come came see saw seen know knew
think thought look looked looking find found want use used work try ask need feel become leave put keep let
begin seem help show hear play run move live believe hold bring happen write sit stand lose pay meet include
continue set learn change lead understand watch follow stop create speak read spend grow open walk win teach
offer remember consider appear buy serve die send build stay fall cut reach one two three four five six
seven eight nine ten hundred thousand first second third last next new old young good bad great small large
big little long short high low early late right left different important public able best better worse sure
clear full free real true false happy sad angry calm surprised tired serious neutral smiling laughing crying
winking wearing holding person people man woman boy girl child children baby adult lady gentleman guy friend
father mother brother sister king queen prince princess doctor nurse teacher student soldier worker artist
singer dancer actor actress pirate wizard witch knight robot alien vampire zombie hero villain face head
hair eye eyes ear ears nose mouth lips teeth tongue chin cheek cheeks forehead neck shoulder shoulders arm
arms hand hands finger body skin beard moustache mustache goatee stubble freckles blush makeup lipstick
tattoo scar mole wrinkles eyebrow eyebrows eyelashes bald curly straight wavy braided ponytail bun bob
fringe bangs afro dreadlocks mohawk shaved pixie hat cap beanie turban hijab helmet crown headband scarf
glasses sunglasses eyeglasses goggles mask earrings earring necklace ring jewelry jewellery ribbon bow tie
bowtie suit jacket blazer coat hoodie sweater jumper shirt tshirt blouse dress skirt vest collar collared
crew overall overalls uniform armor cape robe kimono clothes clothing outfit red orange yellow green blue
purple violet pink brown black white gray grey teal cyan magenta gold golden silver bronze beige tan navy
maroon turquoise olive cream blonde blond auburn ginger platinum dark light pale bright deep pastel vivid
colour color coloured colored colourful colorful background backdrop plain gradient sky sea ocean beach
forest mountain city street house room garden field snow rain sun moon star night day morning evening sunset
sunrise winter summer spring autumn fire water earth air cloud tree flower grass portrait photo photograph
picture image drawing painting sketch illustration cartoon anime comic avatar icon style pencil charcoal
crayon watercolor watercolour oil acrylic ink pixel art digital vector flat minimal retro vintage sepia
monochrome noir neon cyberpunk steampunk gothic baroque impressionist renaissance ukiyo japanese woodblock
print engraving mosaic stained glass clay lego render rendering realistic cinematic detailed quality
masterpiece beautiful handsome pretty cute ugly elegant funny scary strange simple complex soft hard sharp
blurry smooth rough warm cold hot cool wet dry clean dirty front side back profile view close closeup
centered bust half top bottom corner middle dog cat horse bird fish lion tiger bear wolf fox rabbit mouse
elephant dragon unicorn car bus train plane ship boat bike bicycle road bridge tower castle church school
hospital shop market office home kitchen table chair bed door window wall floor lamp book paper pen phone
computer camera guitar piano violin drum music song film movie game ball toy gift cake bread apple banana
cherry lemon grape coffee tea wine milk cheese egg meat rice soup time year month week hour minute world
country life part place case company system program question government number point group problem fact lot
thing way name word story love war peace hope dream idea shadow line shape circle square triangle pattern
stripe stripes striped dotted checkered plaid floral texture metal wood stone leather silk cotton wool
velvet denim fur feather diamond pearl ruby emerald
"""
