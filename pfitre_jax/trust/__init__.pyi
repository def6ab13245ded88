from .consistency import measured_component as measured_component
from .consistency import noise_damping as noise_damping
from .domain import check_domain as check_domain
from .domain import disagreement as disagreement
from .domain import domain_score as domain_score
from .image_statistics import domain_scores as domain_scores
from .image_statistics import reference_statistics as reference_statistics
from .image_statistics import statistics as statistics
