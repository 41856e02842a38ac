"""Words of the builtin corpus: data only, all written for this package.

Each list has the most frequent word first: the generator weighs them by rank, as Zipf's law does.
"""

WORDS: dict[str, str] = {
    "noun": """
        lord heart man time king day night hand eye death life house world heaven blood son friend love
        father brother sister mother daughter word tongue soul tear cause fire sea ship river bridge stone
        garden tower gate door chamber window candle shadow moon star sun storm wind rain winter summer
        spring harvest field orchard meadow forest road mountain valley city market tavern kitchen table cup
        bread wine apple rose thorn nettle lily crown sword dagger shield banner drum trumpet horse hound
        falcon raven sparrow wolf lamb serpent spider fox owl oath promise secret letter message rumour
        counsel judgement sentence prison chain rope commonwealth consul country company court council
        conscience cousin custom comfort coward colour cost coast copy cock crew crime choice chance charge
        chair chest cheek child church circle claim cliff cloth clock cloak countenance covenant stomach
        stock stop store story street stroke state tooth top torch touch trade trick troop trunk truce tune
        toil toad note north nose knot knee knife root room roof rock robe motion mouth moth mood monk
        monster body bone book boy bow box bosom bottom post port portion powder power pot pool point office
        officer order orphan ocean oak homage hole hood hook wood wool wonder foot form fort fountain flock
        flood floor flower loss lodging lock lot usurper uncle umpire unicorn hurt hut bush buckle
        punishment pulse subject success suit sugar summit supper surgeon nurse number nut mud mule
        multitude gulf gust guest guide guard isle iron idea image infant injury instrument ink issue ivory
        kindred kiss sight skin skill silk sign sinew spirit stick string pity pig pilot pipe pit limb line
        lip lion list fight figure finger fish fist bill bird birth bishop vine vision vice victim wit witch
        witness wing dish dinner ditch district direction admiral advice affair age alarm alley altar
        ambition ancestor angel ankle ape apron arch arm army arrow art aunt authority axe eagle ear east
        echo edge egg elbow elephant enemy engine estate event evil grave tomb prayer blessing curse sin
        mercy pardon favour grace honour shame pride fortune hope fear grief sorrow anger patience envy
        malice jealousy courage duty virtue reason fever wound sickness medicine poison hunger thirst dream
        slumber morning evening hour moment season year quarrel battle victory soldier captain herald
        servant master mistress lady maiden widow beggar thief merchant miller weaver butcher baker smith
        sailor fisherman ferryman shepherd ploughman gardener lawyer judge doctor priest scholar poet fool
        jester neighbour stranger traitor tyrant prince queen duke purse ring jewel ribbon velvet mantle
        glove mirror feather lantern ladder bucket hammer anvil needle thread cradle pillow blanket chimney
        cellar threshold corner quarter kingdom province border harbour island tempest thunder lightning
        frost ember ash smoke vapour cloud rainbow planet comet question answer argument purpose project
        bargain exchange payment penny ledger burden labour errand journey exile voyage embrace whisper
        murmur laughter music ballad verse chapter volume example proverb opinion quality
    """,
    "mass": """
        love death heaven blood nature truth time justice peace war grief honour sorrow reason fortune mercy
        silence sleep wine bread gold silver iron water earth fire air marriage patience treason wisdom
        folly youth age beauty money music hunger weather midnight thunder innocence obedience vengeance
        darkness daylight friendship business flattery modesty liberty courtesy jealousy gossip kindness
    """,
    "adj": """
        good sweet great old poor true noble fair gentle little dear young gracious false proud foul heavy
        cold bitter strange honest holy royal sad wretched humble bold brave cruel dark deep empty faithful
        fond foolish free fresh golden green grey guilty happy hard idle kind lame last late lawful lean
        loyal mad merry mighty mild naked narrow new pale patient perfect plain precious private pure quick
        quiet rare open odd only own other obscure occult outward orderly comely constant cool costly
        corrupt content cloudy civil clear clean close contrary tongueless toothless torn tough total polite
        potent pompous politic dotted double doubtful noted notable notorious northern north loose lofty
        loud lovely lost long longing honourable hopeful hot hoarse uncertain unequal unfit unknown unlucky
        untrue upright useful useless utter usual ugly busy blunt blue black blind blank bright brief brown
        broad raw real rebel recent regal restless reverend rotund round ruddy ruthless rural angry anxious
        apt able absent absolute active alive alike aloof ample innocent impatient important infinite inward
        ill immortal imperial mean meek merciful miserable modern monstrous mute musical native neat needful
        next nimble numb strict straight stout still stiff steep steady small slight single sincere silver
        tiny timely tight temperate tall thirsty thorough thousand three two ten twenty twelve seven six
        five four many wet wide wintry woeful wooden worn worse worst rash ready red rich rough rude sacred
        secret sharp sick silent simple sleepy slow smooth soft sour stern strong stubborn subtle sudden
        swift tame tender thick thin tired unkind valiant vile weak weary white wicked wild wise worthy
        yellow ancient bashful blessed bloody broken careless childish common crooked cunning daily deadly
        desperate drowsy dull eager envious faint fatal fearful fierce frozen giddy glad hollow hungry
        jealous jolly learned lonely modest mortal peevish pensive quaint reckless ripe rotten rusty savage
        scornful shallow slippery solemn spotless thankful tedious unhappy unjust vulgar wanton wholesome
        withered wrathful zealous exquisite excellent expensive lazy hazy extreme vexed puzzled frenzied
        equal
    """,
    "verb": """
        be have know see make come love take speak give hear go bear tell live think die keep bring stand
        find call leave hold follow swear weep fear pray stay put serve send turn fall show break meet fight
        kill lose play marry answer sleep trust drink eat seek rise kneel bid beg forgive forget remember
        marvel lie strike spare change learn teach sing laugh mock praise blame scorn envy flatter betray do
        look cost count crown cross cry cut condemn conclude confer confound consent consult contain contend
        convey cool cough toil touch top toss torment trace tread treat try tempt thank thrive throw thrust
        note nod knock knot move mount moan post pour point possess powder ponder owe own offer oppose order
        oblige obtain observe hope howl wound woo work found fold foster form forsake forbid force loosen
        long lodge use undo usurp urge utter unite hurt hunt hush push pull purge pursue rule ruin rush rub
        submit sue suit support suppose swallow sweat sweep swell swim swing spit split spill spoil spread
        stab stain stamp stir stoop stop strip strive strew stumble sit sink slip smell smile smite snatch
        soothe sound speed spy quit act add admit advance advise aid aim allow apply appear approach argue
        arm arrest ask assault assist attend avoid awake await err escape esteem enter end employ ease earn
        echo involve invite invent intend instruct inspire insist inform include incline impose imprison
        improve imitate ignore deceive punish pardon banish welcome honour obey command counsel comfort
        cherish embrace kiss grieve mourn sigh tremble wander return depart vanish perish prosper flourish
        wither burn freeze melt drown sail ride march run walk climb dig plant gather reap spin weave mend
        build open shut lock carry borrow lend buy sell pay steal cheat gamble wager venture measure weigh
        judge prove deny confess promise whisper murmur shout curse threaten frighten offend provoke quarrel
        yield surrender conquer govern inherit deserve suffer endure complain consider imagine wonder
        believe doubt discover conceal quench quiver question request acquaint examine vex expect excuse
        explain exchange adjust rejoice join seize gaze amaze dazzle
    """,
    "past": """
        said made come gone done seen heard known told given taken brought lost found slain sworn spoken
        born left kept sent broken fallen loved thought dead forgot borne called forgiven banished married
        buried betrayed deceived cut cost hurt put set torn worn shot got begot taught sought wrought bound
        ground wound hung flung stung sung begun won run spun struck stuck led fed bled bred sped fled bid
        hid rid lent spent bent rent slept wept swept crept felt dealt meant dreamt lain laid stayed stopped
        touched tossed tried turned used urged waked warned wasted watched weighed wished withered wondered
        worked worshipped wronged yielded crowned crossed condemned confounded contented counted coupled
        covered cropped crushed cured cursed cheated challenged changed charged charmed chased chidden
        chosen commanded promised whispered written stolen hidden bought sold paid deserved denied confessed
        proved judged punished wounded weary undone drowned vanished burned frozen planted gathered woven
        mended built opened shut locked borrowed followed answered remembered welcomed honoured cherished
        embraced kissed grieved mourned wandered returned departed vexed quenched examined requested seized
        amazed enjoyed joined conquered poisoned
    """,
    "adv": """
        now then here so too there again still well yet never ever once more away no indeed home alone hence
        already tomorrow soon today truly straight presently gently sweetly softly quickly slowly together
        tonight not rather quite almost only out up down off over under below above through around back on
        in as_well too_late too_soon of_old as_yet o'er ne'er e'en e'er even else anon apace awhile always
        along afar afresh in_arms at_home on_foot on_horseback to_bed to_court to_church to_and_fro to_death
        to_day to_arms forth hither thither abroad aloud apart aside at_last in_haste by_night by_day
        in_vain of_late at_once in_truth in_peace for_ever boldly bravely dearly deeply fairly freely
        heartily highly justly kindly lightly meekly merrily nobly openly patiently plainly proudly quietly
        rashly richly sadly safely secretly strangely surely suddenly wisely wholly hourly yesterday
        elsewhere otherwise likewise exactly lazily
    """,
    "poss": "my the thy his your our their this her that",
    "det": "the the the my a this thy his no that your our some her such each every what their any",
    "dets": "the my these thy those his your our all their many her such",
    "prep": """
        of in to with for from upon by on at against before without after beyond within under behind between
        beneath beside above among about through near unto past despite
    """,
    "pron": "I you he they we she it",
    "obj": "me him thee you it them us her this myself thyself himself",
    "modal": "will shall must may would should can could might cannot do did dare shall_not will_not",
    "link": "and but for that as if when so or yet though till where since because while nor than ere lest",
    "voc": """sir my_lord madam good_sir sweet_lady my_friend my_liege good_neighbour gentle_sir cousin
        dear_brother my_son uncle boy good_father gentlemen friends masters fool old_man""",
    "exclaim": """
        O Ay No Why Well Come Nay Alas What How Peace Yes Go Hark Look Then Now Soft Fie Marry Indeed
        Farewell Away Enough Behold Welcome Sirrah Ha Quick Judge Keep Keep_back Up Down Be_gone Zounds
    """,
    "person": """
        Aldric Brenna Corvane Dunmore Edrith Fennick Garrowby Hesper Isolde Jorvane Kestrel Lorimer Maravel
        Norrow Oswin Perrin Quillon Rosamer Severn Tamsin Ulvane Veyra Wystan Xanthe Yestin_Vale Zephine
        Amberlow Bellamour Cassimir Dorrance Elsinda Farrow Gwendra Harcastle Ivarne Jessamy Kellan Lucerne
        Merrowin Nightingale Orsova Pellinor Quenby Ravenal Sorrel Thessaly Ursanne Valence Winterbourne
    """,
    "place": """
        Harrowgate Velmora Castellane Northmere Quayle Isenford Dunwater Merrivale Ostrava_Bay Karse Lindholm
        Brackwater Tarrow Yarrowdale Zennor Jaxony Upper_Fallow Exmere Wendover_Hill Port_Amity Gallowmere
    """,
}
