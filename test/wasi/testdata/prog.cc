// The C++ library over preview 1; the same for Linux.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

struct Shape {
	virtual ~Shape() = default;
	virtual double area() const = 0;
};
struct Square : Shape {
	double side;
	explicit Square(double s) : side(s) {}
	double area() const override { return side * side; }
};
struct Circle : Shape {
	double radius;
	explicit Circle(double r) : radius(r) {}
	double area() const override { return 3.14159265358979 * radius * radius; }
};

static int made;
struct Global {
	Global() { made = 41; }
	~Global() { std::cout << "the end" << std::endl; }
} global;

template <typename T> T power(T base, unsigned n) { return n ? base * power(base, n - 1) : T(1); }

int main(int argc, char **argv) {
	std::cout << "args " << argc << ' ' << (argc > 1 ? argv[1] : "") << ' ' << made + 1 << '\n';
	std::map<std::string, std::vector<int>> words;
	std::string word;
	for (int at = 0; std::cin >> word; at++) words[word].push_back(at);
	for (const auto &[w, places] : words) {
		std::cout << std::setw(8) << std::left << w;
		std::copy(places.begin(), places.end(), std::ostream_iterator<int>(std::cout, " "));
		std::cout << '\n';
	}
	std::mt19937_64 rng(42);
	std::vector<std::uint64_t> many(200000);
	std::generate(many.begin(), many.end(), std::ref(rng));
	std::sort(many.begin(), many.end(), std::greater<>());
	std::cout << std::hex << many.front() << ' ' << many.back() << ' '
		  << std::accumulate(many.begin(), many.end(), std::uint64_t(0), [](auto a, auto b) { return a * 31 + b; }) << std::dec << '\n';
	std::vector<std::unique_ptr<Shape>> shapes;
	for (int i = 1; i <= 4; i++) {
		if (i % 2) shapes.push_back(std::make_unique<Square>(i));
		else shapes.push_back(std::make_unique<Circle>(i));
	}
	std::cout << std::fixed << std::setprecision(6);
	for (const auto &s : shapes) std::cout << s->area() << ' ' << (dynamic_cast<Square *>(s.get()) ? "square" : "round") << '\n';
	std::unordered_map<int, std::shared_ptr<std::string>> shared;
	for (int i = 0; i < 1000; i++) shared[i * i] = std::make_shared<std::string>(std::to_string(i));
	std::cout << *shared.at(144) << ' ' << shared.count(145) << ' ' << shared[961].use_count() << '\n';
	{
		std::ofstream f("made.txt");
		for (int i = 0; i < 100; i++) f << i << ' ' << power<long long>(i, 5) << '\n';
	}
	std::ifstream f("made.txt");
	long long sum = 0, value;
	int lines = 0;
	for (std::string line; std::getline(f, line); lines++) {
		std::istringstream in(line);
		int i;
		in >> i >> value;
		sum += value - i;
	}
	std::cout << lines << " lines " << sum << ' ' << std::ifstream("none").is_open() << '\n';
	std::variant<int, std::string> v = std::string("variant");
	std::cout << v.index() << ' ' << std::get<std::string>(v) << '\n';
	auto start = std::chrono::steady_clock::now();
	std::cout << (std::chrono::steady_clock::now() >= start) << ' ' << (std::chrono::system_clock::now().time_since_epoch().count() > 0) << '\n';
	std::cerr << "to the other one\n";
	std::exit(9);
}
