"""The tables of requests that cannot be met. The files that they name are made by bad_files.py; the tests are in
test_bad_requests.py."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = str(ROOT / "config.yaml")
TRAIN = ["--data_name", "Mnist_Mini"]
SHIPPED = ["--model_path", str(ROOT / "checkpoints/mnist_mini.safetensors")]


def sets(*overrides):
    return [word for override in overrides for word in ("--set", override)]


# What is asked of train_solver.py, and words of the answer. {place} is the folder of the files above.
TRAININGS = {
    # its own arguments
    "no data set": ([], ["--data_name", "required"]),
    "unknown data set": (["--data_name", "Mnist_Mimi"], ["Mnist_Mimi", "did you mean Mnist_Mini?"]),
    "empty data set": (["--data_name", ""], ["data set ''", "Mnist_Mini"]),
    "unknown option": ([*TRAIN, "--sed", "1"], ["--sed", "did you mean --seed?"]),
    "abbreviated option": ([*TRAIN, "--max", "1"], ["--max", "--help"]),
    "setting as an option": ([*TRAIN, "--learning_rate", "1e-4"], ["--learning_rate is not known", "--set train.learning_rate=VALUE"]),
    "setting with its value": ([*TRAIN, "--batch_size=4"], ["--batch_size=4 is not known", "--set train.batch_size=VALUE"]),
    "set to an octal number": ([*TRAIN, *sets("train.batch_size=010")], ["--set train.batch_size=010", "write 8"]),
    "stray word": ([*TRAIN, "quickly"], ["quickly", "--help"]),
    "option without its value": ([*TRAIN, "--seed"], ["--seed", "expected one argument"]),
    "seed that is no number": ([*TRAIN, "--seed", "abc"], ["--seed", "not a whole number", "abc"]),
    "seed with a line break": ([*TRAIN, "--seed", "1\n2"], ["--seed", "1\\n2"]),
    "negative seed": ([*TRAIN, "--seed", "-1"], ["--seed", "greater than or equal to 0", "-1"]),
    "seed too large": ([*TRAIN, "--seed", str(2**63)], ["--seed", "less than"]),
    "resume whenever": ([*TRAIN, "--resume", "maybe"], ["--resume", "auto", "never"]),
    "device of another make": ([*TRAIN, "--device", "tpu"], ["--device", "cpu"]),
    "no steps": ([*TRAIN, "--max_steps", "0"], ["--max_steps", "greater than or equal to 1"]),
    "half a step": ([*TRAIN, "--max_steps", "0.5"], ["--max_steps", "not a whole number"]),
    # --set
    "set without a value": ([*TRAIN, *sets("train.learning_rate")], ["BLOCK.KEY=VALUE"]),
    "set without a block": ([*TRAIN, *sets("learning_rate=1")], ["BLOCK.KEY=VALUE"]),
    "set of an unknown block": ([*TRAIN, *sets("trian.learning_rate=1")], ["trian", "did you mean train?"]),
    "set of an unknown key": ([*TRAIN, *sets("train.learning_rat=1")], ["did you mean learning_rate?"]),
    "set of a key of another block": ([*TRAIN, *sets("train.seed=1")], ["did you mean run.seed?"]),
    "set to an open list": ([*TRAIN, *sets("model.channel_mult=[1, 2")], ["channel_mult", "YAML"]),
    "set to endless nesting": ([*TRAIN, *sets("model.channel_mult=" + "[" * 1000)], ["channel_mult", "nested"]),
    "set to a date that is none": ([*TRAIN, *sets("train.batch_size=2020-13-45")], ["YAML", "month"]),
    "student without a teacher": ([*TRAIN, *sets("train.student=consistency")], ["train.teacher and train.student belong together"]),
    "student of another kind": ([*TRAIN, *sets("train.student=quick")], ["train.student", "'consistency'", "quick"]),
    "teacher that is not there": ([*TRAIN, *sets("train.student=consistency", "train.teacher=no.safetensors")], ["no.safetensors"]),
    "sampler of a student": ([*TRAIN, *sets("sample.sample_info=CM_2_0p0")], ["CM_2_0p0", "see train.student"]),
    "set to nothing": ([*TRAIN, *sets("train.batch_size=")], ["train.batch_size", "integer", "None"]),
    # values out of range, block by block
    "no pixels": ([*TRAIN, *sets("data.image_size=0")], ["data.image_size", "greater than or equal to 1"]),
    "a million pixels": ([*TRAIN, *sets("data.image_size=1000000")], ["data.image_size", "less than or equal to 1024"]),
    "three sides": ([*TRAIN, *sets("data.image_size=[28,28,1]")], ["data.image_size", "[HEIGHT, WIDTH]"]),
    "a side that cannot be halved": ([*TRAIN, *sets("data.image_size=[28,30]")], ["image_size [28, 30]", "both sides must be multiples of 4"]),
    "crop of another kind": ([*TRAIN, *sets("data.crop=left")], ["data.crop", "'center', 'random' or 'none'"]),
    "crop larger than the picture": ([*TRAIN, *sets("data.crop=random", "data.resize=20")], ["data.resize 20", "at least 28"]),
    "padding without room": ([*TRAIN, *sets("data.crop=none", "data.resize=32")], ["data.resize 32", "at most 28"]),
    "two channels": ([*TRAIN, *sets("data.image_channel=2")], ["data.image_channel", "1 or 3"]),
    "empty cache folder": ([*TRAIN, *sets("data.cache_dir=''")], ["data.cache_dir", "at least 1 character"]),
    "zero byte in a path": ([*TRAIN, *sets(r'data.cache_dir="a\0b"')], ["data.cache_dir"]),
    "bytes that are no text": ([*TRAIN, "--save_dir", os.fsdecode(b"a\xff")], ["--save_dir", "unicode", "\\udcff"]),
    "path for an embedded set": ([*TRAIN, *sets("data.data_path=/tmp")], ["mnist_mini", "no data_path"]),
    "unknown source": ([*TRAIN, *sets("data.source=imagenet")], ["data.source", "imagenet", "'folder'"]),
    "odd width": ([*TRAIN, *sets("model.base_channels=25")], ["base_channels 25", "even"]),
    "no levels": ([*TRAIN, *sets("model.channel_mult=[]")], ["model.channel_mult", "at least 1"]),
    "too many levels": ([*TRAIN, *sets("model.channel_mult=[1,1,1,1,1]")], ["image_size 28", "multiple of 32"]),
    "levels without end": ([*TRAIN, *sets(f"model.channel_mult={[1] * 99}")], ["channel_mult", "at most 11"]),
    "groups that do not divide": ([*TRAIN, *sets("model.norm_groups=5")], ["norm_groups 5", "24"]),
    "heads by number and by size": ([*TRAIN, *sets("model.head_channels=8")], ["num_heads 4 and head_channels 8", "null for the other"]),
    "head size that does not divide": ([*TRAIN, *sets("model.num_heads=null", "model.head_channels=5")], ["head_channels 5", "48"]),
    "frequencies shifted to none": ([*TRAIN, *sets("model.base_channels=2", "model.norm_groups=2", "model.frequency_shift=1")], ["base_channels 2", "more than 2"]),
    "betas of a named schedule": ([*TRAIN, *sets("diffusion.betas=[0.1]")], ["diffusion.betas", "beta_schedule given"]),
    "given betas that are too few": ([*TRAIN, *sets("diffusion.beta_schedule=given", "diffusion.betas=[0.1]")], ["has 1", "timestep_num 1000"]),
    "start from nowhere": ([*TRAIN, "--start_from", "/nowhere.safetensors"], ["/nowhere.safetensors", "does not exist"]),
    "start from another network": ([*TRAIN, "--start_from", str(ROOT / "checkpoints/mnist_mini_v.safetensors"), *sets("model.num_classes=10"), "--save_dir", "{place}/started"], ["mnist_mini_v", "tensors differ", "class_embed"]),
    "heads that do not divide": ([*TRAIN, *sets("model.num_heads=5")], ["num_heads 5", "48"]),
    "attention nowhere": ([*TRAIN, *sets("model.attention_resolutions=[5]")], ["5", "never occurs", "[14, 7]"]),
    "all dropped": ([*TRAIN, *sets("model.dropout=1.0")], ["model.dropout", "less than 1"]),
    "patch that does not fit": ([*TRAIN, *sets("model.patch_size=3")], ["patch_size 3", "multiple of 6"]),
    "network larger than memory": ([*TRAIN, *sets("model.base_channels=8192", "model.channel_mult=[64, 64]")], ["parameters", "GiB", "model.base_channels"]),
    "blocks without end": ([*TRAIN, *sets("model.num_res_blocks=1000000000")], ["num_res_blocks", "less than or equal"]),
    "a trillion timesteps": ([*TRAIN, *sets("diffusion.timestep_num=1000000000000")], ["timestep_num", "less than or equal"]),
    "more sampling steps than timesteps": ([*TRAIN, *sets("diffusion.timestep_num=10")], ["1 to the 10", "20"]),
    "zero terminal SNR of noise": ([*TRAIN, *sets("diffusion.zero_terminal_snr=true", "diffusion.objective=pred_noise")], ["pred_v"]),
    "unknown schedule": ([*TRAIN, *sets("diffusion.beta_schedule=square")], ["beta_schedule", "'cosine'"]),
    "negative batch": ([*TRAIN, *sets("train.batch_size=-4")], ["train.batch_size", "greater than or equal to 1"]),
    "batch without end": ([*TRAIN, *sets("train.batch_size=1000000000000")], ["train.batch_size", "less than or equal"]),
    "epochs without end": ([*TRAIN, *sets("train.train_epoch=1e308")], ["train.train_epoch", "less than or equal"]),
    "learning rate of text": ([*TRAIN, *sets("train.learning_rate=fast")], ["train.learning_rate", "number", "'fast'"]),
    "infinite learning rate": ([*TRAIN, *sets("train.learning_rate=.inf")], ["train.learning_rate", "finite"]),
    "beta of one": ([*TRAIN, *sets("train.adam_beta1=1")], ["train.adam_beta1", "less than 1"]),
    "two spreads of the timesteps": ([*TRAIN, *sets("train.timestep_log_normal=[-1.2, 1.2]")], ["timestep_logit_normal", "exclude each other"]),
    "log-normal spread of zero": ([*TRAIN, *sets("train.timestep_logit_normal=null", "train.timestep_log_normal=[0, 0]")], ["timestep_log_normal", "above 0"]),
    "no shift at all": ([*TRAIN, *sets("diffusion.shift=0")], ["diffusion.shift", "0.01"]),
    "spread of zero": ([*TRAIN, *sets("train.timestep_logit_normal=[0, 0]")], ["timestep_logit_normal", "above 0"]),
    "resampling of a training's previews": ([*TRAIN, *sets("sample.sample_info=DDIM_2_0p0_r3")], ["_r3 is for filling in pictures alone"]),
    "sampler of one's own": ([*TRAIN, *sets("sample.sample_info=EULER_50_0p0")], ["EULER", "DDPM, DDIM"]),
    "no pictures to draw": ([*TRAIN, *sets("sample.sample_num=0")], ["sample.sample_num", "greater than or equal"]),
    # the YAML
    "config that is missing": ([*TRAIN, "--config", "nowhere.yaml"], ["nowhere.yaml", "No such file"]),
    "config that is a folder": ([*TRAIN, "--config", "{place}"], ["{place}", "is no file", "--config"]),
    "config that is a FIFO": ([*TRAIN, "--config", "{place}/pipe.yaml"], ["pipe.yaml", "is no file"]),
    "config that is a loop": ([*TRAIN, "--config", "{place}/loop.yaml"], ["loop.yaml", "symbolic links"]),
    "config that is a picture": ([*TRAIN, "--config", "{place}/picture.png"], ["picture.png", "not UTF-8", "YAML"]),
    "config that is large": ([*TRAIN, "--config", "{place}/large.yaml"], ["large.yaml", "larger than"]),
    "config that is no UTF-8": ([*TRAIN, "--config", "{place}/latin.yaml"], ["latin.yaml", "not UTF-8 text (line 1)", "save it again as UTF-8"]),
    "config in GBK": ([*TRAIN, "--config", "{place}/gbk.yaml"], ["gbk.yaml", "not UTF-8 text (line 2)", "save it again as UTF-8"]),
    **{
        f"config: {name}": ([*TRAIN, "--config", f"{{place}}/{name}.yaml"], [f"{name}.yaml", word])
        for name, word in {"list": "Train_Setting", "open": "YAML", "deep": "nested", "number": "mapping", "empty": "Train_Setting", "names": "quote it: '1'", "tag": "YAML", "date": "month", "python": "YAML", "laughs": "'a' is not known", "merges": "merge"}.items()
    },
    "key given twice": (["--data_name", "Mine", "--config", "{place}/twice.yaml"], ["seed", "given twice", "line 5"]),
    **{
        f"config: {name}": (["--data_name", "Mine", "--config", f"{{place}}/{name}.yaml"], [f"{name}.yaml", *words])
        for name, words in {
            "on": ["line 2", "the key on is read as bool", "quote it: 'on'"],
            "merge": ["line 3", "merge keys (<<) are not supported", "write the keys out"],
            "octal": ["line 3", "010 would be read as 8", "write 8"],
            "clock": ["line 3", "1:30 would be read as 90", "write 90"],
            "misplaced": ["'batch_size' is not known", "did you mean train.batch_size?"],
            "shallow": ["Train_Data.data is a block", "indent it one level more"],
            "outside": ["'Mine' is not known", "indent it below Train_Data"],
            "bare": ["'train' is not known", "indent it below Train_Setting"],
        }.items()
    },
    # the pictures
    "folder that is missing": (["--data_name", "Mine", "--config", "{place}/nowhere.yaml"], ["/nowhere", "does not exist"]),
    **{
        f"folder: {name}": (["--data_name", "Mine", "--config", "{place}/good.yaml", *sets(f"data.data_path={{place}}/{name}", "data.cache_dir=made/cache")], [f"{{place}}/{name}", word])
        for name, word in {"none": "empty folder", "texts": "only other files", "broken": "skip_unreadable", "file": "is a file"}.items()
    },
    "classes of pictures without labels": (["--data_name", "Mine", "--config", "{place}/good.yaml", *sets("data.data_path={place}", "data.cache_dir=made/cache", "model.num_classes=3")], ["model.num_classes 3", "its pictures have no labels"]),
    "only broken pictures": (["--data_name", "Mine", "--config", "{place}/good.yaml", *sets("data.skip_unreadable=true", "data.cache_dir=made/cache")], ["no picture can be read, of 2 files", "{place}/broken/a.png"]),
    "cache that is a file": (["--data_name", "Mine", "--config", "{place}/good.yaml", *sets("data.cache_dir={place}/file")], ["{place}/file", "data.cache_dir"]),
    **{
        f"{name} without download": (["--data_name", name, *sets("data.download=false", "data.data_path=/nowhere")], ["/nowhere", "http", "data.download"])
        for name in ("Mnist", "Cifar10", "Flower102")
    },
    # where the run is kept
    "run in a file": ([*TRAIN, "--save_dir", "{place}/file"], ["--save_dir", "{place}/file", "no folder"]),
    "run inside a file": ([*TRAIN, "--save_dir", "{place}/file/run"], ["--save_dir", "{place}/file", "no folder"]),
    "run of no name": ([*TRAIN, "--save_dir", ""], ["--save_dir", "at least 1 character"]),
    "run of an endless name": ([*TRAIN, "--save_dir", "x" * 300], ["xxx", "too long"]),
    "earlier run": ([*TRAIN, "--save_dir", "{place}/run", "--resume", "never"], ["{place}/run", "earlier run", "--save_dir"]),
    "earlier run of other settings": ([*TRAIN, "--save_dir", "{place}/run"], ["{place}/run", "model.base_channels: 8 -> 24"]),
}  # fmt: skip

# The same of test_solver.py, given the shipped checkpoint where the request names none.
DRAWINGS = {
    "no model": (["--model_path"], ["--model_path", "expected at least one argument"]),
    "unknown mode": (["--test_mode", "dream"], ["--test_mode", "random_gen"]),
    "mistyped option": (["--sampel_num", "3"], ["--sampel_num", "did you mean --sample_num?"]),
    "number that is none": (["--sample_num", "abc"], ["--sample_num", "not a whole number", "abc"]),
    "no pictures": (["--sample_num", "0"], ["--sample_num 0", "at least 1"]),
    "pictures without end": (["--sample_num", "1" + "0" * 30], ["--sample_num", "at most 1000000"]),
    "negative seed": (["--seed", "-1"], ["--seed -1", "at least 0"]),
    "negative batch": (["--batch_size", "-3"], ["--batch_size -3", "at least 1"]),
    "no size": (["--image_size", "0"], ["--image_size 0", "at least 1"]),
    "one side too large": (["--image_size", "28x5000"], ["--image_size [28, 5000]", "at most 1024"]),
    "size that is none": (["--image_size", "28by28"], ["--image_size", "neither a whole number nor HEIGHTxWIDTH", "28by28"]),
    "other proportions": (["--image_size", "28x32"], ["--image_size 28x32", "28"]),
    "other size": (["--image_size", "32"], ["--image_size 32", "28"]),
    "other channels": (["--image_channel", "3"], ["--image_channel 3", "trained with 1"]),
    "other timesteps": (["--training_timestep_num", "500"], ["--training_timestep_num 500", "1000"]),
    "raw weights of a shared file": (["--weights", "raw"], ["trainer_state.pt"]),
    "more steps than trained": (["--sample_info", "DDIM_2000_0p0"], ["1 to the 1000", "2000"]),
    **{
        f"sampler {text!r}": (["--sample_info", text], [repr(text), "METHOD_STEPS_ETA"])
        for text in ("DDIM", "DDIM_50", "DDIM_50_0.0", "DDIM_0_0p0", "DDIM_-5_0p0", "DDIM_50_1p5", "DDMI_50_0p0", "DDIM_50_0p0_circle", "DDIM_99999999999_0p0", "HEUN_18_0p5", "ddim 50", "DDIM_50_0p0\n")
    },
    "sampler of 5,000 digits": (["--sample_info", f"DDIM_{'9' * 5000}_0p0"], ["METHOD_STEPS_ETA"]),
    "inverse of a sampler with noise": (["--test_mode", "reconstruct", "--sample_info", "DDPM_50_0p0"], ["adds no noise"]),
    "latents of a sampler with noise": (["--test_mode", "interpolate", "--interpolate_mode", "ddim", "--sample_info", "DDIM_9_1p0"], ["adds no noise"]),
    "more noise than trained": (["--test_mode", "interpolate", "--interpolate_steps", "1001"], ["--interpolate_steps 1001", "1000"]),
    "one coefficient": (["--test_mode", "interpolate", "--interpolate_num", "1"], ["--interpolate_num 1", "at least 2"]),
    "pictures of an interpolation": (["--test_mode", "interpolate", "--save_images"], ["--save_images belongs to --test_mode random_gen"]),
    "data of random_gen": (["--data_path", "/nowhere"], ["--data_path belongs to"]),
    "path for an embedded set": (["--test_mode", "interpolate", "--data_path", "/nowhere"], ["no data_path", "/nowhere"]),
    "config without a data set": (["--test_mode", "interpolate", "--config", CONFIG], ["--config", "--data_name"]),
    "unknown data set": (["--test_mode", "interpolate", "--config", CONFIG, "--data_name", "Emojis"], ["did you mean Emoji?"]),
    "config that is missing": (["--test_mode", "interpolate", "--config", "nowhere.yaml", "--data_name", "Emoji"], ["nowhere.yaml"]),
    # known pixels
    "mask of another size": (["--test_mode", "inpaint", "--mask", "{place}/picture.png"], ["--mask {place}/picture.png", "8 x 8", "28 x 28"]),
    "mask that fills nothing": (["--test_mode", "inpaint", "--mask", "{place}/black.png"], ["black.png", "nothing is to be filled in", "white there"]),
    "mask that keeps nothing": (["--test_mode", "inpaint", "--mask", "{place}/white.png"], ["white.png", "nothing is known", "black"]),
    "mask that is missing": (["--test_mode", "inpaint", "--mask", "circle"], ["--mask circle", "no such file", "box, half, random"]),
    "mask that is no picture": (["--test_mode", "inpaint", "--mask", "{place}/truncated.pt"], ["truncated.pt", "cannot identify it"]),
    "mask that is a folder": (["--test_mode", "inpaint", "--mask", "{place}"], ["--mask {place}", "no such file"]),
    "mask of new pictures": (["--mask", "box"], ["--mask belongs to --test_mode inpaint"]),
    "more pictures to fill in than there are": (["--test_mode", "inpaint", "--sample_num", "7001"], ["--sample_num 7001", "7,000"]),
    "resampling of new pictures": (["--sample_info", "DDIM_2_0p0_r3"], ["DDIM_2_0p0_r3", "_r3 belongs to --test_mode inpaint, not random_gen"]),
    "resampling in an edit": (["--test_mode", "inpaint", "edit", "--sample_info", "DDIM_2_0p0_r3"], ["_r3 belongs to --test_mode inpaint, not edit"]),
    "no resampling": (["--test_mode", "inpaint", "--sample_info", "DDIM_2_0p0_r0"], ["takes each step 0 times", "1 to 1000"]),
    **{
        f"strength {text}": (["--test_mode", "edit", "--strength", text], ["--strength", word])
        for text, word in {"0": "above 0 and at most 1", "1.01": "above 0 and at most 1", "-0.5": "above 0", "nan": "above 0", "much": "not a number: 'much'"}.items()
    },
    "strength of new pictures": (["--strength", "0.5"], ["--strength belongs to --test_mode edit"]),
    "drawing that is missing": (["--test_mode", "edit", "--picture", "nowhere.png"], ["--picture nowhere.png", "no such file"]),
    "drawing that is no picture": (["--test_mode", "edit", "--picture", "{place}/truncated.pt"], ["truncated.pt", "cannot identify it"]),
    "drawing and a data set": (["--test_mode", "edit", "--picture", "{place}/white.png", "--data_name", "Emoji"], ["white.png", "leave those out"]),
    # the modes that measure
    "extractor of one's own": (["--test_mode", "evaluate", "--extractor", "faces"], ["--extractor faces", "digits, clothes, inception"]),
    "extractor of other things": (["--test_mode", "compare", "--extractor", "clothes"], ["clothes", "mnist_mini"]),
    "Inception without its weights": (["--test_mode", "evaluate", "--extractor", "inception", "--inception_weights", "/nowhere.pth"], ["/nowhere.pth", "http", "--inception_weights"]),
    "Inception's weights of a page": (["--test_mode", "evaluate", "--extractor", "inception", "--inception_weights", "README.md"], ["README.md", "--inception_weights FILE"]),
    "Inception's weights for digits": (["--test_mode", "evaluate", "--inception_weights", "README.md"], ["--inception_weights belongs to --extractor inception"]),
    "too few for a covariance": (["--test_mode", "evaluate", "--sample_num", "5"], ["5 pictures are too few", "64 features", "--sample_num"]),
    "no lots": (["--test_mode", "compare", "--repeats", "0"], ["--repeats 0", "at least 1"]),
    "lots of random pictures": (["--repeats", "2"], ["--repeats belongs to --test_mode evaluate or compare"]),
    "split of random pictures": (["--split", "test"], ["--split belongs to --test_mode reconstruct or evaluate or likelihood"]),
    "bound of no steps": (["--test_mode", "likelihood", "--likelihood_steps", "0"], ["--likelihood_steps 0", "at least 2"]),
    "bound of more steps than trained": (["--test_mode", "likelihood", "--likelihood_steps", "2000"], ["--likelihood_steps 2000", "1000"]),
    "bound by a sampler": (["--test_mode", "likelihood", "--sample_info", "DDIM_5_0p0"], ["--sample_info belongs to"]),
    "steps of a bound, elsewhere": (["--likelihood_steps", "5"], ["--likelihood_steps belongs to --test_mode likelihood"]),
    "several samplers, one picture": (["--sample_info", "DDIM_5_0p0", "DDIM_6_0p0"], ["--sample_info DDIM_5_0p0 DDIM_6_0p0", "compare"]),
    "one bad sampler of two": (["--test_mode", "compare", "--sample_info", "DDIM_5_0p0", "DDIM_x"], ["'DDIM_x'", "METHOD_STEPS_ETA"]),
    "comparison of real pictures": (["--test_mode", "compare", "--data_name", "Emoji"], ["--data_name belongs to"]),
    "report of a checkpoint alone": (["--test_mode", "report"], ["whole run", "log.jsonl"]),
    "pictures into a file": (["--save_dir", "{place}/file"], ["--save_dir", "{place}/file", "no folder"]),
    "pictures inside a file": (["--save_dir", "{place}/file/out"], ["--save_dir", "no folder"]),
    "pictures into an endless name": (["--save_dir", "x" * 300], ["--save_dir", "too long"]),
    "pairs without end": (["--test_mode", "interpolate", "--sample_num", "100000"], ["--sample_num 100000", "7,000 pictures"]),
    "pictures of a folder's option": (["--test_mode", "report", "--seed", "3"], ["--seed belongs to"]),
    "pictures into nothing": (["--save_dir", ""], ["--save_dir", "empty"]),
    **{
        f"model {name}": (["--model_path", f"{{place}}/{name}"], [f"{{place}}/{name}", *words])
        for name, words in {
            "nowhere.safetensors": ["no checkpoint", "does not exist"],
            "texts": ["is a folder", "no model.safetensors"],
            "pipe.safetensors": ["no regular file"],
            "pipe.pt": ["no regular file"],
            "loop.safetensors": ["no regular file"],
            "file/model.safetensors": ["does not exist"],
            "empty.safetensors": ["no whole safetensors file"],
            "picture.png": ["no whole safetensors file"],
            "truncated.safetensors": ["no whole safetensors file"],
            "long_header.safetensors": ["header too large"],
            "claims.safetensors": ["header"],
            "huge.safetensors": ["tensors differ", "time_embed.0.weight (32, 8) for (32768, 8192)"],
            "wide.safetensors": ["data.image_size", "less than or equal to 1024", "1000000"],
            "patient.safetensors": ["diffusion.timestep_num", "less than or equal to 100000"],
            "endless.safetensors": ["model.num_res_blocks", "less than or equal to 64"],
            "extra.safetensors": ["model.evil"],
            "typed.safetensors": ["model.base_channels", "integer"],
            "steered.safetensors": ["data_name", "\\x1b"],
            "odd.safetensors": ["tensors differ", "(32, 8) for (64, 16)"],
            "nan_setting.safetensors": ["train.learning_rate"],
            "deep.safetensors": ["Invalid JSON"],
            "cut.safetensors": ["Invalid JSON"],
            "integers.safetensors": ["int32", "float32"],
            "infinite.safetensors": ["not finite"],
            "too_large.safetensors": ["not finite"],
            "lacking.safetensors": ["1 tensors differ", "missing for"],
            "bare.safetensors": ["carries no settings", "--image_size"],
            "step.safetensors": ["step", "many"],
            "list.pt": ["holds a list"],
            "half.pt": ["its ema is a NoneType"],
            "stepless.pt": ["its step is missing"],
            "vast.pt": ["larger than the file"],
            "other.pt": ["carries no settings"],
            "truncated.pt": ["no whole checkpoint"],
            "text.pt": ["no whole checkpoint"],
        }.items()
    },
}  # fmt: skip
